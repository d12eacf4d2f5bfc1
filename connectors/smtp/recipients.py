"""Who a message is for: an address, or a configured name of some; nothing else ever stands in an envelope.

Source: RFC 5321, section 4.1.2, without quoted local parts and address literals, which no directory gives out.
"""

import re
from collections.abc import Mapping

from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import ConfigError, NotFoundError, Problem, RejectedError

__all__ = ["Recipients", "is_address"]

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})*")
_LONGEST, _LONGEST_LOCAL = 254, 64
_MOST = 100  # recipients that every server must take in one transaction: RFC 5321, section 4.5.3.1.8


def is_address(text: str) -> bool:
    """Whether it is one mail address in ASCII and nothing more."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and len(text) <= _LONGEST and len(found[1]) <= _LONGEST_LOCAL


class Recipients:
    """The names that are configured, and the domains that mail may go to. Raises ConfigError with all problems."""

    def __init__(self, settings: Settings, instance: str) -> None:
        self._domains = frozenset(filter(None, map(_plain, settings.text("allowed_domains").split(","))))
        pairs = [text.partition("=") for text in settings.text("recipients").split(",") if text.strip()]
        self._named: Mapping[str, tuple[str, ...]] = {
            name.strip(): tuple(dict.fromkeys(addresses.split())) for name, _, addresses in pairs
        }
        problems = [problem for name, addresses in self._named.items() for problem in self._problems(name, addresses)]
        if len(self._named) < len(pairs):
            problems.append("a name is there twice, so nobody could tell which is meant")
        if problems:
            raise ConfigError([Problem(instance, "recipients", problem) for problem in problems])

    def of(self, text: str) -> tuple[str, ...]:
        """The addresses of a name, or the address itself. Raises NotFoundError, RejectedError."""
        found = self._named.get(text)
        if found is not None:
            return found
        if "@" not in text:
            there = ", ".join(self._named) or "none"
            raise NotFoundError(
                f"{text[:80]!r} is no mail address and no configured name (there are: {there}); add it to recipients",
                vendor="smtp",
                operation="find recipient",
            )
        if not is_address(text):
            raise RejectedError(
                f"{text[:80]!r} is no mail address; write local@domain in ASCII, another domain as xn--",
                vendor="smtp",
                operation="find recipient",
            )
        if self._is_outside(text):
            raise RejectedError(
                f"{text} is outside allowed_domains ({', '.join(sorted(self._domains))}): nothing is sent there",
                vendor="smtp",
                operation="find recipient",
            )
        return (text,)

    def _problems(self, name: str, addresses: tuple[str, ...]) -> list[str]:
        if not name or not addresses or "@" in name:
            return [f"{name or 'an entry'!r} names nobody; write name=address, several addresses with spaces between"]
        if len(addresses) > _MOST:
            return [f"{name} has {len(addresses)} addresses, {_MOST} are the most; make a list at the mail server"]
        problems = [f"{name}: {one[:80]!r} is no mail address" for one in addresses if not is_address(one)]
        return problems + [f"{name}: {one} is outside allowed_domains" for one in addresses if self._is_outside(one)]

    def _is_outside(self, address: str) -> bool:
        return bool(self._domains) and _plain(address.rpartition("@")[2]) not in self._domains


def _plain(domain: str) -> str:
    return domain.strip().lower()

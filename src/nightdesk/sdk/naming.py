"""Under which names a target's activity stands in telemetry, each exact; and text that may stand in a query."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.targets import AccountQuery, AssetQuery, Target

__all__ = ["Names", "names_of", "plain"]

_SHORT = re.compile(r"^[^.]+$")


@dataclass(frozen=True, slots=True)
class Names:
    """``exact`` names, ``prefixes`` that stand before a domain (``ws-0042.``), and ``addresses``; none is empty."""

    exact: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def names_of(target: Target) -> Names:
    """The names of a host or an account. Raises RejectedError for another kind."""
    if target.kind == "host":
        query = AssetQuery.of(target)
        names = _distinct((query.hostname, query.fqdn))
        # A name without its domain stands for that host in any domain of the tenant, as find_asset takes it.
        prefixes = tuple(f"{name}." for name in names if _SHORT.match(name) and not query.fqdn)
        return Names(names, prefixes, _distinct((query.address,)))
    account = AccountQuery.of(target)
    down_level = rf"{account.domain}\{account.name}" if account.domain and account.name else ""
    return Names(_distinct((account.email, account.name, down_level, account.sid)))


def plain(text: str, allowed: str, *, vendor: str) -> str:
    """The text if every letter is a word's or one of ``allowed``; nothing else may stand in a query.

    Raises RejectedError: what would have to be escaped is refused, so that no value can widen a question.
    """
    wrong = sorted({letter for letter in text if not (letter.isalnum() or letter == "_" or letter in allowed)})
    if wrong or not text:
        letters = " ".join(map(repr, wrong)) or "nothing in it"
        raise RejectedError(
            f"{text!r} cannot be asked for exactly ({letters})", vendor=vendor, operation="read telemetry"
        )
    return text


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))

"""What rules of a policy say is never touched, held against every name that a target goes by.

Of two names that may mean one thing, one with its realm or domain and one without, the cautious answer is that they do.
"""

import re
from collections.abc import Iterable, Iterator

from nightdesk.autonomy.matching import forms, glob, in_network
from nightdesk.autonomy.policy import NeverTouch, Policy
from nightdesk.autonomy.spelling import account_name, plain, url_host
from nightdesk.sdk.case import Check
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["ACCOUNT_FACTS", "forbidden"]

_K = TargetKind
ACCOUNT_FACTS = ("login", "uid", "name", "email", "sid", "account_id")
"""Facts by which an account may be found at its directory."""


def forbidden(target: Target, policy: Policy, names: Iterable[str] = ()) -> Check:
    """Whether a never_touch rule of the policy names it, by its own or by one of these further names."""
    texts = (*_names(target, tuple(names)), *_hosts_in(target))
    rules = [rule for rule, protected in policy.never_touch if _is_hit(target, texts, protected)]
    told = f"{target.key}: rule {', '.join(rules)}" if rules else target.key
    return Check("never-touch", not rules, told, "no never_touch rule names it")


def _names(target: Target, more: tuple[str, ...]) -> Iterator[str]:
    yield from forms(target.kind, target.value, target.facts)
    facts = ACCOUNT_FACTS if target.kind is _K.ACCOUNT else ()
    for one in (*(target.facts.get(name, "") for name in facts), *more):
        yield from forms(target.kind, one, {})


def _is_hit(target: Target, texts: tuple[str, ...], protected: NeverTouch) -> bool:
    kind = target.kind
    hosts = protected.assets if kind in {_K.HOST, _K.PROCESS} else ()
    accounts = protected.accounts if kind in {_K.ACCOUNT, _K.SENDER} else ()
    domains = protected.domains if kind in {_K.DOMAIN, _K.URL, _K.SENDER} else ()
    return (
        any(glob(plain(pattern), plain(text)) for pattern in hosts for text in texts)
        or any(glob(_one_slash(pattern), _one_slash(text)) for pattern in accounts for text in texts)
        or any(glob(plain(pattern).lstrip("."), plain(text)) for pattern in domains for text in texts)
        or any(_is_above(target, pattern) for pattern in domains)
        or any(_may_be_host(pattern, texts) for pattern in hosts)
        or (kind is _K.ACCOUNT and any(_may_be_account(pattern, texts) for pattern in accounts))
        or any(_overlaps(network, text) for network in protected.addresses for text in texts)
    )


def _may_be_host(pattern: str, texts: tuple[str, ...]) -> bool:
    """A host of which only the short name is known, and a rule that names its like with a domain."""
    first, dot, _ = plain(pattern).partition(".")
    if not dot or not first.strip("*?") or in_network(pattern, pattern):
        return False
    known = [plain(text) for text in texts if not in_network(text, text)]
    return not any("." in text for text in known) and any(glob(first, text) for text in known)


def _may_be_account(pattern: str, texts: tuple[str, ...]) -> bool:
    r"""An account of that name whose realm is not known, or written in another way (``CORP\boss``, ``boss@corp``)."""
    kind = _realm(pattern)
    if not kind or not account_name(pattern).strip("*?"):
        return False
    known = {_realm(text) for text in texts} - {""}
    return kind not in known and any(glob(account_name(pattern), account_name(text)) for text in texts)


def _one_slash(name: str) -> str:
    return plain(name).replace("/", "\\")


def _realm(name: str) -> str:
    """How its realm is written; empty where it has none."""
    return "before" if re.search(r"[\\/]", name) else "behind" if "@" in name else ""


def _hosts_in(target: Target) -> Iterator[str]:
    """The domain inside a URL or mail address, and the domains above it."""
    host = ""
    if target.kind is _K.URL:
        host = plain(url_host(target.value))
        if in_network(host, host):
            yield host
            return
    elif target.kind is _K.SENDER:
        host = target.value.rpartition("@")[2].lower()
    elif target.kind is _K.DOMAIN:
        host = target.value
    while "." in host:
        yield host
        host = host.partition(".")[2]


def _is_above(target: Target, pattern: str) -> bool:
    """Whether what the pattern protects is below this domain, and would be blocked with it."""
    if target.kind not in {_K.DOMAIN, _K.SENDER} or "@" in target.value:
        return False
    lowest = re.split(r"[*?]", plain(pattern))[-1]
    return f".{lowest.lstrip('.')}".endswith(f".{plain(target.value)}")


def _overlaps(network: str, text: str) -> bool:
    return in_network(network, text) or in_network(text, network)

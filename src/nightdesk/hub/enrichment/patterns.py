"""STIX patterns as far as one entity can answer them, and why another one is set aside.

A pattern comes from a feed, so it may be wrong, dear, or meant to accuse everybody. What one entity cannot answer
(times, several observations), what could take for ever (regular expressions) and what would match nearly anything is
set aside with the reason, never silently and never half. Parsing and matching are OASIS's own libraries (STIX 2.1,
part 9).
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from nightdesk.sdk.case import Entity, EntityKind

__all__ = ["Aside", "Network", "Pattern", "Plan", "Values", "compiled", "matches", "plan", "sco_of"]

_LONGEST = 4096
_COMPARISONS = 64
_WILDCARDS = 3
_LITERAL = 4  # characters of a LIKE that are no wildcard
_WIDEST = {4: 8, 6: 20}
_BRACKETS = 20
_TYPES: Mapping[str, tuple[EntityKind, ...]] = {
    "ipv4-addr": (EntityKind.ADDRESS,),
    "ipv6-addr": (EntityKind.ADDRESS,),
    "domain-name": (EntityKind.DOMAIN,),
    "url": (EntityKind.URL,),
    "email-addr": (EntityKind.EMAIL,),
    "file": (EntityKind.FILE,),
    "user-account": (EntityKind.ACCOUNT,),
}
_HASHES = {"md5": "md5", "sha-1": "sha1", "sha1": "sha1", "sha-256": "sha256", "sha256": "sha256"}
_STIX_HASHES = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256"}
_WHEN = "2026-01-01T00:00:00Z"  # an observation needs a time; no pattern that looks at it is kept


@dataclass(frozen=True, slots=True)
class Values:
    """Entities (``domain:bad.example.com``) that the pattern may mean; ``verify``: the whole of it has to be asked."""

    keys: tuple[str, ...]
    verify: bool


@dataclass(frozen=True, slots=True)
class Network:
    """The pattern means every address of this network."""

    network: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """The pattern has to be asked about every entity of these kinds."""

    kinds: tuple[EntityKind, ...]


@dataclass(frozen=True, slots=True)
class Aside:
    """The pattern is not used, and why."""

    reason: str


Plan = Values | Network | Pattern | Aside
_Comparison = tuple[str, tuple[str, ...], str, str]
"""Object type, path, operator, and the value as it is written."""


def plan(text: str) -> Plan:
    """How that pattern is used."""
    if len(text) > _LONGEST or text.count("(") > _BRACKETS:
        return Aside(f"it is longer than {_LONGEST} characters, or deeper than {_BRACKETS} brackets")
    from stix2patterns.exceptions import ParseException  # noqa: PLC0415  # 0.2 s, which only feeds need
    from stix2patterns.v21.pattern import Pattern as Parsed  # noqa: PLC0415  # the same

    try:
        told = Parsed(text).inspect()
    except (ParseException, RecursionError, ValueError, KeyError) as error:
        return Aside(f"it cannot be read: {str(error)[:200]}")
    comparisons = [
        (kind, tuple(map(str, path)), operator, value)
        for kind, listed in told.comparisons.items()
        for path, operator, value in listed
    ]
    why = next(_faults(comparisons, told.observation_ops, told.qualifiers), "")
    return Aside(why) if why else _used(comparisons)


def _faults(comparisons: Sequence[_Comparison], joined: set[str], qualifiers: set[str]) -> Iterator[str]:
    if qualifiers or joined - {"OR"}:
        yield "it needs several observations or their times, and one entity is asked at a time"
    if not comparisons:
        yield "it compares nothing"
    if len(comparisons) > _COMPARISONS:
        yield f"it has more than {_COMPARISONS} comparisons"
    strange = sorted({kind for kind, *_ in comparisons} - set(_TYPES))
    if strange:
        yield f"it asks for {', '.join(strange)}, which no entity is"
    for kind, path, operator, value in comparisons:
        name = f"{kind}:{'.'.join(path)}"
        if operator.startswith("NOT") or operator == "!=":
            yield f"{name} {operator}: it says what a thing is not, which is nearly everything"
        if operator == "MATCHES":
            yield f"{name} MATCHES: a regular expression can take for ever"
        if operator in {"<", ">", "<=", ">=", "ISSUPERSET"}:
            yield f"{name} {operator}: no entity has an order"
        if operator == "LIKE":
            plain = re.sub(r"[%_]", "", _text(value))
            if len(plain) < _LITERAL or len(_text(value)) - len(plain) > _WILDCARDS:
                yield f"{name} LIKE {value}: it could mean nearly anything, or has more than {_WILDCARDS} wildcards"
        if operator in {"ISSUBSET", "="} and "/" in value and kind.startswith("ipv"):
            yield from _too_wide(name, _text(value))


def _too_wide(name: str, text: str) -> Iterator[str]:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        yield f"{name}: {text} is no network"
        return
    if network.prefixlen < _WIDEST[network.version]:
        yield f"{name}: {text} is wider than /{_WIDEST[network.version]}"


def _used(comparisons: Sequence[_Comparison]) -> Plan:
    kind, _, operator, value = comparisons[0]
    if len(comparisons) == 1 and kind.startswith("ipv") and (operator == "ISSUBSET" or "/" in value):
        return Network(str(ipaddress.ip_network(_text(value), strict=False)))
    keys = [key for comparison in comparisons for key in _keys(comparison)]
    if all(any(True for _ in _keys(one)) for one in comparisons):
        return Values(tuple(dict.fromkeys(keys)), verify=len(comparisons) > 1)
    return Pattern(tuple(dict.fromkeys(kind for name, *_ in comparisons for kind in _TYPES[name])))


def _keys(comparison: _Comparison) -> Iterator[str]:
    """The entities that a comparison names by their identity."""
    kind, path, operator, value = comparison
    if operator not in {"=", "IN"}:
        return
    texts = [_text(value)] if operator == "=" else [_text(part) for part in _parts(value)]
    for text in texts:
        if kind == "file":
            name = _HASHES.get(path[-1].lower()) if path[0] == "hashes" else None
            if name:
                yield f"file:{name}:{text.lower()}"
        elif kind == "user-account":
            if path[0] in {"account_login", "user_id"}:
                yield f"account:{text.lower()}"
        elif path == ("value",):
            yield f"{_TYPES[kind][0]}:{text if kind == 'url' else text.lower()}"


def _parts(value: str) -> list[str]:
    return re.findall(r"'(?:\\.|[^'\\])*'", value)


def _text(literal: str) -> str:
    """A string as it is meant: without its quotes and escapes."""
    inner = literal[1:-1] if literal.startswith("'") and literal.endswith("'") else literal
    return re.sub(r"\\(.)", r"\1", inner)


@cache
def _matcher() -> Any:
    try:
        import stix2matcher.matcher  # noqa: PLC0415  # an extra
    except ImportError:
        return None
    return stix2matcher.matcher


def compiled(text: str) -> Any:
    """The pattern to be asked; None without the library that asks it (the extra ``intel``)."""
    library = _matcher()
    return None if library is None else library.Pattern(text, "2.1")


def matches(pattern: Any, entity: Entity) -> bool:
    """Whether a compiled pattern means that entity; one that breaks over it does not."""
    sco = sco_of(entity)
    library = _matcher()
    if sco is None or library is None:
        return False
    observation = {
        "type": "observed-data",
        "spec_version": "2.1",
        "id": "observed-data--00000000-0000-4000-8000-000000000000",
        "first_observed": _WHEN,
        "last_observed": _WHEN,
        "number_observed": 1,
        "object_refs": [sco["id"]],
    }
    bundle = {"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [observation, sco]}
    try:
        return bool(pattern.match([bundle]))
    except library.MatcherException:
        return False


def sco_of(entity: Entity) -> dict[str, Any] | None:
    """The entity as the observable that patterns speak of; None for a kind that none of them is."""
    made: dict[str, Any]
    if entity.kind is EntityKind.ADDRESS:
        kind = "ipv6-addr" if ":" in entity.value else "ipv4-addr"
        made = {"type": kind, "value": entity.value}
    elif entity.kind in {EntityKind.DOMAIN, EntityKind.URL, EntityKind.EMAIL}:
        names = {EntityKind.DOMAIN: "domain-name", EntityKind.URL: "url", EntityKind.EMAIL: "email-addr"}
        made = {"type": names[entity.kind], "value": entity.value}
    elif entity.kind is EntityKind.FILE:
        name, _, digest = entity.value.partition(":")
        made = {"type": "file", "hashes": {_STIX_HASHES.get(name, name): digest}}
        if entity.facts.get("name"):
            made["name"] = entity.facts["name"]
    elif entity.kind is EntityKind.ACCOUNT:
        made = {"type": "user-account", "account_login": entity.value}
        if entity.facts.get("uid"):
            made["user_id"] = entity.facts["uid"]
    else:
        return None
    return {**made, "spec_version": "2.1", "id": f"{made['type']}--00000000-0000-4000-8000-000000000000"}

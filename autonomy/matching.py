"""Whether a condition holds for an alert, in three values (yes, no, not known), in a direction caution never leaves.

Every matcher stands in one of two directions. *Raising*: matching makes the case more cautious (an escalate or propose
rule; a ``not`` inside a close rule). *Lowering*: the other way round. Raising asks whether **any** of the alert's
values is meant, lowering whether **every** one is. What an attacker can write may stand in the raising direction only;
the policy's parser sees to that.
"""

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from nightdesk.autonomy.conditions import IDENTIFIED, SEVERITIES, Selector, When
from nightdesk.sdk.case import Alert, Entity, EntityKind, Verdict
from nightdesk.stix import attack

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

__all__ = ["Facts", "evaluate", "forms", "glob", "in_network", "severity_rank", "tactics_of"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is asked: one alert, the severity that counts for it, and how many alerts its case has."""

    alert: Alert
    severity_id: int
    case_alerts: int


@dataclass(frozen=True, slots=True)
class _Way:
    """How a matcher is read: does the rule close, and does matching here raise caution."""

    closing: bool
    raising: bool

    @property
    def absent(self) -> bool | None:
        """The answer when the alert does not have the fact: a plain raising rule is not triggered by nothing."""
        return False if self.raising and not self.closing else None


def severity_rank(severity_id: int) -> int:
    """0 for unknown and other, else the order of the words."""
    return severity_id if 1 <= severity_id <= 6 else 0


def evaluate(when: When, facts: Facts, *, closing: bool, turned: bool = False) -> bool | None:
    """Whether the condition holds; None when a fact that it needs is not known. ``turned``: it stands under a not."""
    return _evaluate(when, facts, _Way(closing=closing, raising=closing is turned))


def _evaluate(when: When, facts: Facts, way: _Way) -> bool | None:
    return _every(_answers(when, facts, way))


def _answers(when: When, facts: Facts, way: _Way) -> Iterator[bool | None]:
    alert = facts.alert
    if when.rule_id is not None:
        yield _named(when.rule_id, alert.rule_id, way)
    if when.source is not None:
        yield alert.source in when.source if alert.source else way.absent
    if when.rule_name is not None:
        yield _named(when.rule_name, alert.rule_name, way)
    rank = severity_rank(facts.severity_id)
    if when.severity_at_most is not None:
        yield rank <= SEVERITIES[when.severity_at_most] if rank else None
    if when.severity_at_least is not None:
        yield rank >= SEVERITIES[when.severity_at_least] if rank else None
    if when.title is not None:
        yield any(glob(pattern, alert.title) for pattern in when.title)
    if when.text is not None:
        yield any(glob(f"*{pattern}*", text) for text in _texts(alert) for pattern in when.text)
    yield from _known_facts(when, facts, way)
    if when.all_of is not None:
        yield _every(_evaluate(child, facts, way) for child in when.all_of)
    if when.any_of is not None:
        yield _some(_evaluate(child, facts, way) for child in when.any_of)
    if when.none_of is not None:
        inner = _evaluate(when.none_of, facts, _Way(closing=way.closing, raising=not way.raising))
        yield None if inner is None else not inner


def _known_facts(when: When, facts: Facts, way: _Way) -> Iterator[bool | None]:
    alert = facts.alert
    if when.techniques is not None:
        wanted = {text.upper() for text in when.techniques}
        yield _quantified(alert.techniques, lambda text: text in wanted or text.partition(".")[0] in wanted, way)
    if when.tactics is not None:
        meant = {attack.tactic(text) for text in when.tactics}
        yield _quantified(sorted(tactics_of(alert)), lambda text: text in meant, way)
    if when.source_verdict is not None:
        word = _verdict(alert.native_verdict)
        yield way.absent if word is None else word in when.source_verdict
    if when.disposition is not None:
        yield alert.disposition in when.disposition if alert.disposition else way.absent
    if when.closed_at_source is not None:
        yield alert.closed_at_source is when.closed_at_source
    if when.case_alerts_at_least is not None:
        yield facts.case_alerts >= when.case_alerts_at_least
    for selector in when.entities or ():
        yield _selected(selector, alert.entities, way)


def tactics_of(alert: Alert) -> frozenset[str]:
    """The alert's tactics by id: those it names and those its techniques belong to."""
    named = {attack.tactic(text) or text for text in alert.tactics}
    for text in alert.techniques:
        technique = attack.technique(text)
        named.update(attack.tactic(name) or name for name in (technique.tactics if technique else ()))
    return frozenset(named)


def forms(kind: str, value: str, facts: Mapping[str, str]) -> tuple[str, ...]:
    """Every way the thing may be written in a policy: a host with and without its domain, an account without its."""
    texts = [
        value,
        *(facts[key] for key in ("hostname", "fqdn", "device_id", "address", "login", "uid") if key in facts),
    ]
    if kind == "host":
        texts += [text.partition(".")[0] for text in texts if not text.replace(".", "").isdigit()]
    if kind == "account":
        texts += [re.split(r"[\\/]", text)[-1].partition("@")[0] for text in texts]
    return tuple(dict.fromkeys(text for text in texts if text))


def glob(pattern: str, text: str) -> bool:
    """Whether the whole text matches; ``*`` and ``?`` only, case ignored, linear in the text's length."""
    return _compiled(pattern.casefold())(text.casefold()) is not None


def in_network(pattern: str, text: str) -> bool:
    """Whether an address or network is inside (or is) the pattern's; False when either is no address."""
    outer, inner = _network(pattern), _network(text)
    if outer is None or inner is None or outer[0] != inner[0]:
        return False
    return outer[1] <= inner[1] and inner[2] <= outer[2]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match


@lru_cache(maxsize=16384)
def _network(text: str) -> tuple[int, int, int] | None:
    """(version, first, last) of an address or network; IPv4 that is written as IPv6 (RFC 4291, 2.5.5.2) is IPv4."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        first = int(network.network_address) - int(_MAPPED.network_address)
        return 4, first, first + network.num_addresses - 1
    return network.version, int(network.network_address), int(network.broadcast_address)


def _every(answers: Iterable[bool | None]) -> bool | None:
    """No as soon as one is no; else not known when one is not known."""
    result: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def _some(answers: Iterable[bool | None]) -> bool | None:
    """Yes as soon as one is yes; else not known when one is not known."""
    result: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            result = None
    return result


def _quantified(values: Sequence[str], hit: Callable[[str], bool], way: _Way) -> bool | None:
    if not values:
        return way.absent
    return any(map(hit, values)) if way.raising else all(map(hit, values))


def _named(wanted: Sequence[str], value: str, way: _Way) -> bool | None:
    if not value:
        return way.absent
    return any(glob(pattern, value) for pattern in wanted) if way.raising else value in wanted


def _texts(alert: Alert) -> Iterator[str]:
    yield from (alert.title, alert.description)
    for entity in alert.entities:
        yield entity.value
        yield from entity.facts.values()


def _verdict(native: str) -> Verdict | None:
    """The source's verdict in our words: products write the same ones with other separators and capitals."""
    folded = re.sub(r"[^a-z]", "", native.lower())
    return next((word for word in Verdict if word.replace("-", "") == folded), None)


def _selected(selector: Selector, entities: Sequence[Entity], way: _Way) -> bool | None:
    wanted = [entity for entity in entities if selector.role in {None, entity.role}]
    texts: list[tuple[str, ...]] = [
        forms(entity.kind, entity.value, entity.facts) for entity in wanted if entity.kind is selector.kind
    ]
    if selector.kind is EntityKind.DEVICE:
        texts += [(entity.facts["device_id"],) for entity in wanted if "device_id" in entity.facts]
    if not texts:
        return False if way.raising and selector.kind not in IDENTIFIED else way.absent
    match = in_network if selector.kind is EntityKind.ADDRESS else _same if selector.kind in IDENTIFIED else glob
    hits = [any(match(pattern, text) for text in group for pattern in selector.values) for group in texts]
    return any(hits) if way.raising else all(hits)


def _same(pattern: str, text: str) -> bool:
    return pattern.casefold() == text.casefold()

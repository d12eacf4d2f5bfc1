"""The simulated running policy: groups filled by tags, rules asked in order, sessions that live on until cleared.

Sources: pan-os-python 1.13 (security-policy-match, rule-hit-count), public scripts for the shape of a group's members.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement

from nightdesk.connectors.paloalto_firewall.simulated_answers import PanosError
from nightdesk.connectors.paloalto_firewall.simulated_tags import Tags, span

__all__ = ["Group", "RunningPolicy", "Session", "SimulatedRule"]

_PROBE = frozenset({"from", "to", "source", "destination", "protocol", "destination-port", "application", "show-all"})
_TAG = re.compile(r"'([^']+)'")


@dataclass(slots=True)
class Group:
    """A dynamic address group; its filter is tags in quotes, joined by ``or``. ``objects`` match by a static tag."""

    name: str
    filter: str
    objects: tuple[str, ...] = ()

    @property
    def tags(self) -> frozenset[str]:
        """The tags that make a member."""
        return frozenset(_TAG.findall(self.filter))


@dataclass(slots=True)
class SimulatedRule:
    """A rule; source and destination name a group, an address, a network or ``any``."""

    name: str
    source: str = "any"
    destination: str = "any"
    action: str = "deny"
    zones: tuple[str, str] = ("any", "any")
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """One connection."""

    source: str
    destination: str


@dataclass(slots=True)
class RunningPolicy:
    """What is committed. The last rule that every firewall has denies between zones."""

    tags: Tags
    groups: dict[str, Group] = field(default_factory=dict)
    rules: list[SimulatedRule] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    def show_group(self, asked: Element, vsys: str) -> Element:
        """``show object dynamic-address-group``, by name or all of them."""
        name = asked.findtext("name")
        if name is None and asked.find("all") is None:
            raise PanosError(17, "show -> object -> dynamic-address-group is incomplete")
        result = Element("result")
        found = SubElement(result, "dyn-addr-grp")
        for group in self.groups.values():
            if name in {None, group.name}:
                entry = SubElement(found, "entry")
                for part, text in (("vsys", vsys), ("group-name", group.name), ("filter", group.filter)):
                    SubElement(entry, part).text = text
                members = SubElement(entry, "member-list")
                for one in group.objects:
                    SubElement(members, "entry", {"name": one, "type": "address-object"})
                for one in self.tags.tagged(group.tags):
                    SubElement(members, "entry", {"name": one, "type": "registered-ip"})
        return result

    def test(self, asked: Element) -> Element:
        """``test security-policy-match``: the first rule that fits a connection, in order."""
        given = {part.tag: (part.text or "").strip() for part in asked}
        strange = sorted(set(given) - _PROBE)
        if strange:
            raise PanosError(17, f"test -> security-policy-match -> {strange[0]} is unexpected")
        missing = [name for name in ("source", "destination", "protocol") if not given.get(name)]
        if missing:
            raise PanosError(17, f"test -> security-policy-match -> {missing[0]} is missing")
        ends = [_address(given["source"]), _address(given["destination"])]
        if ends[0].version != ends[1].version:
            raise PanosError(17, "test -> security-policy-match: source and destination are of different versions")
        result = Element("result")
        rules = SubElement(result, "rules")
        for index, rule in enumerate(self.rules, 1):
            places = zip((rule.source, rule.destination), ends, strict=True)
            zoned = all(
                zone in {"any", asked_zone} or not asked_zone
                for zone, asked_zone in zip(rule.zones, (given.get("from"), given.get("to")), strict=True)
            )
            if not rule.disabled and zoned and all(self._has(place, address) for place, address in places):
                _shown(rules, rule, index)
                return result
        _shown(rules, SimulatedRule("interzone-default", action="deny"), len(self.rules) + 1)
        return result

    def hits(self, asked: Element) -> Element:
        """``show rule-hit-count``: of the rules asked for, those that there are."""
        wanted = [(one.text or "").strip() for one in asked.iterfind(".//rules/list/member")]
        vsys = asked.find("vsys/vsys-name/entry")
        if vsys is None or not wanted:
            raise PanosError(17, "show -> rule-hit-count is incomplete")
        result = Element("result")
        entry = SubElement(SubElement(SubElement(result, "rule-hit-count"), "vsys"), "entry", {"name": "vsys1"})
        style = SubElement(SubElement(entry, "rule-base"), "entry", {"name": "security"})
        rules = SubElement(style, "rules")
        for rule in self.rules:
            if rule.name in wanted and not rule.disabled:
                SubElement(SubElement(rules, "entry", {"name": rule.name}), "hit-count").text = "0"
        return result

    def clear(self, asked: Element) -> Element:
        """``clear session all filter``: without a filter everything would go, which is refused here."""
        given = {part.tag: (part.text or "").strip() for part in asked}
        if not given or set(given) - {"source", "destination"}:
            raise PanosError(17, "clear -> session -> all -> filter is unexpected")
        wanted = {name: _address(text) for name, text in given.items()}
        self.sessions = [
            one
            for one in self.sessions
            if not all(_address(getattr(one, name)) == address for name, address in wanted.items())
        ]
        result = Element("result")
        SubElement(result, "member").text = "sessions cleared"
        return result

    def _has(self, place: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        group = self.groups.get(place)
        names = [place] if group is None else self.tags.tagged(group.tags)
        if place == "any":
            return True
        found = filter(None, map(span, names))
        return any(version == address.version and low <= int(address) <= high for version, low, high in found)


def _shown(rules: Element, rule: SimulatedRule, index: int) -> None:
    entry = SubElement(rules, "entry", {"name": rule.name})
    for name, text in (("index", str(index)), ("from", rule.zones[0]), ("source", rule.source), ("to", rule.zones[1]),
                       ("destination", rule.destination), ("action", rule.action)):  # fmt: skip
        SubElement(entry, name).text = text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise PanosError(17, f"{text} is an invalid ip address") from None

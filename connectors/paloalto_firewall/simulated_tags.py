"""The simulated User-ID table: which address has which tags until when, told in uid-messages and shown in pages.

Sources: the vendor's pages on registered addresses; pan-os-python 1.13 for paging and the texts of refusals.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element, SubElement

from nightdesk.connectors.paloalto_firewall.simulated_answers import PanosError
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["Tags", "span"]

_LONGEST = 2_592_000
_MOST_TAGS = 32
_LONGEST_TAG = 127
_PAGE = 500
_BAD_TAG = re.compile(r"['\"]|  |^(and|or|not)$", re.IGNORECASE)
_SECTIONS = ("unregister", "register")  # in the order in which one document is carried out


@dataclass(slots=True)
class _Tag:
    name: str
    timeout: int
    since: datetime  # from when on the group knows it

    def lasts(self, now: datetime) -> bool:
        return not self.timeout or now < self.since + timedelta(seconds=self.timeout)


@dataclass(slots=True)
class _Entry:
    persistent: bool
    tags: dict[str, _Tag] = field(default_factory=dict)


class Tags:
    """All registered addresses by the spelling that registered them; ``capacity`` depends on the model."""

    def __init__(self, clock: Clock, faults: FaultPlan, *, version: tuple[int, int]) -> None:
        self._clock = clock
        self._faults = faults
        self._version = version
        self.capacity = 1000
        self.entries: dict[str, _Entry] = {}

    def tell(self, message: Element) -> Element | None:
        """Carries a uid-message out; what it could not do, or None. Raises PanosError for what is malformed."""
        payload = message.find("payload")
        if message.tag != "uid-message" or message.findtext("type") != "update" or payload is None:
            raise PanosError(18, "Malformed Request")
        strange = [part.tag for part in payload if part.tag not in _SECTIONS]
        if strange:
            raise PanosError(17, f"uid-message -> payload -> {strange[0]} is not simulated")
        refused = Element("payload")
        for kind in _SECTIONS:
            section = SubElement(refused, kind)
            for entry in payload.iterfind(f"{kind}/entry"):
                for text in self._refusals(kind, entry):
                    SubElement(section, "entry", {"ip": entry.get("ip", ""), "message": text})
        return refused if refused.find("*/entry") is not None else None

    def shown(self, asked: Element) -> Element:
        """``show object registered-ip``: by address, by tag, all, or a count, in pages."""
        self._settle()
        address, tag = asked.findtext("ip"), asked.find("tag/entry")
        limit = _number(asked.findtext("limit") or asked.findtext("all/limit"), _PAGE)
        start = _number(asked.findtext("start-point") or asked.findtext("all/start-point"), 1)
        if limit > _PAGE or start < 1 or (address is None and tag is None and asked.find("all") is None and not limit):
            raise PanosError(17, "show -> object -> registered-ip -> limit is invalid")
        names = [
            name
            for name, entry in sorted(self.entries.items())
            if (address is None or name == address) and (tag is None or tag.get("name") in entry.tags)
        ]
        result = Element("result")
        for name in names[start - 1 : start - 1 + limit]:
            entry = self.entries[name]
            persistent = "1" if entry.persistent else "0"
            holder = SubElement(
                SubElement(result, "entry", {"ip": name, "from_agent": "0", "persistent": persistent}), "tag"
            )
            for one in entry.tags:
                SubElement(holder, "member").text = one
        SubElement(result, "count").text = str(len(names[start - 1 : start - 1 + limit]))
        return result

    def tagged(self, tags: frozenset[str]) -> list[str]:
        """Addresses whose group knows that they have one of the tags."""
        self._settle()
        now = self._clock()
        return [
            name
            for name, entry in sorted(self.entries.items())
            if any(tag.name in tags and tag.since <= now for tag in entry.tags.values())
        ]

    def reboot(self) -> None:
        """Forgets what is not persistent; the time of the rest begins anew."""
        self._settle()
        self.entries = {name: entry for name, entry in self.entries.items() if entry.persistent}
        for entry in self.entries.values():
            for tag in entry.tags.values():
                tag.since = self._clock()

    def _refusals(self, kind: str, given: Element) -> list[str]:
        self._settle()
        name, members = given.get("ip", ""), list(given.iterfind("tag/member"))
        problem = self._problem(name, members)
        if problem:
            return [problem]
        entry = self.entries.get(name)
        known = entry.tags if entry is not None else {}
        if kind == "unregister":
            gone = [str(one.text) for one in members if one.text not in known]
            for one in members:
                known.pop(str(one.text), None)
            return [f"tag {tag} does not exist, ignore unreg" for tag in gone]
        if entry is None and len(self.entries) >= self.capacity:
            return ["max registered-ip for the platform reached"]
        if self._faults.standing("accepted_then_failed"):
            return []
        late = self._faults.standing("late_effect")
        since = self._clock() + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0.0)
        entry = self.entries.setdefault(name, _Entry(given.get("persistent", "1") != "0"))
        refused = [f"tag {one.text} already exists, ignore" for one in members if one.text in entry.tags]
        for one in members:
            tag = _Tag(str(one.text), _number(one.get("timeout"), 0), since)
            entry.tags.setdefault(tag.name, tag)
        return refused

    def _problem(self, name: str, members: list[Element]) -> str:
        """What is wrong with an entry; the whole of it is refused then."""
        if span(name) is None or ((("/" in name) or ("-" in name)) and self._version < (10, 0)):
            return f"{name} is not a valid ip address"
        if not members or len(members) > _MOST_TAGS:
            return "invalid number of tags"
        for one in members:
            tag, timeout = one.text or "", one.get("timeout", "0")
            if not tag or len(tag) > _LONGEST_TAG or _BAD_TAG.search(tag):
                return f"tag {tag} is invalid"
            if not timeout.isdecimal() or int(timeout) > _LONGEST:
                return f"timeout {timeout} is invalid"
        return ""

    def _settle(self) -> None:
        """Lets tags end whose time is over."""
        now = self._clock()
        for name, entry in list(self.entries.items()):
            entry.tags = {key: tag for key, tag in entry.tags.items() if tag.lasts(now)}
            if not entry.tags:
                del self.entries[name]


def span(text: str) -> tuple[int, int, int] | None:
    """Version, first and last address of an address, a network or ``first-last``; None for anything else."""
    first, dash, last = text.partition("-")
    try:
        if dash:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
            return (low.version, int(low), int(high)) if low.version == high.version and int(low) <= int(high) else None
        found = ipaddress.ip_network(text)
    except ValueError:
        return None
    return found.version, int(found.network_address), int(found.broadcast_address)


def _number(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not text.strip().isdecimal():
        raise PanosError(17, f"{text} is not a number")
    return int(text)

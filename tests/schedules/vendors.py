"""What is really so at a simulated vendor, and what somebody else does there; no connector is asked.

A *slot* is one thing that can be on or off (a host isolated, an account disabled). Devices and accounts take orders
that a fault plan can delay, fail or reorder; lists change at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryAccount, StoryAlert, StoryDevice
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.sdk.verbs import TargetKind

__all__ = [
    "ACCOUNTS",
    "DEVICES",
    "FAMILIES",
    "PROTECTED",
    "VENDORS",
    "Family",
    "Thing",
    "Truth",
    "enrol",
    "place_of",
    "things",
]

_HASH = "5f" * 32
PROTECTED = "crown-01"
GROUP = "finance-approvers"
PROCESS = StoryProcess("powershell.exe", r"C:\Windows\powershell.exe", "powershell.exe -enc SQBF", 7720, _HASH)
DEVICES = tuple(
    StoryDevice(f"dev-{number}", name, (f"192.0.2.{number}",), processes=(PROCESS,))
    for number, name in enumerate(("WS-0001", "WS-0002", PROTECTED), 1)
)
ACCOUNTS = tuple(
    StoryAccount(f"acc-{name}", name, f"{name}@corp.example.com", "CORP", f"S-1-5-21-1-2-3-{number}", (GROUP,))
    for number, name in enumerate(("jdoe", "asmith", "crown-svc"), 1001)
)


@dataclass(frozen=True, slots=True)
class Family:
    """A verb family. ``on`` and ``off`` are what devices and accounts call its orders; ``off`` empty: one way."""

    verb: str
    inverse: str
    role: str
    on: str
    off: str = ""


FAMILIES: Mapping[str, Family] = {
    family.verb: family
    for family in (
        Family("host.isolate", "host.release", "edr", "isolate", "release"),
        Family("host.restrict_execution", "host.lift_restriction", "edr", "restrict", "lift"),
        Family("file.quarantine", "file.restore", "edr", "quarantine", "restore"),
        Family("hash.block", "hash.unblock", "edr", "", ""),
        Family("process.terminate", "", "edr", "kill"),
        Family("host.collect_evidence", "", "edr", "collect"),
        Family("account.disable", "account.enable", "identity", "disable", "enable"),
        Family("account.remove_from_group", "account.add_to_group", "identity", "remove_group", "add_group"),
        Family("account.revoke_sessions", "", "identity", "revoke_sessions"),
        Family("ip.block", "ip.unblock", "firewall", "", ""),
        Family("alert.set_disposition", "alert.set_disposition", "source", "", ""),
    )
}


@dataclass(frozen=True, slots=True)
class Thing:
    """A target and how it is called: ``name`` is the host's, account's or address's own."""

    family: str
    target: Target
    name: str
    protected: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What one wanted state belongs to."""
        return (self.family, *place_of(self.target))


def place_of(target: Target) -> tuple[str, str]:
    """The target and the host that it is on: the same file on two hosts is two things."""
    return (target.key, target.facts.get("hostname", "").casefold())


VENDORS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "edr": {
        "crowdstrike_falcon": (
            "host.isolate",
            "hash.block",
            "file.quarantine",
            "process.terminate",
            "alert.set_disposition",
        ),
        "sentinelone": ("host.isolate", "hash.block", "file.quarantine", "process.terminate", "alert.set_disposition"),
        "microsoft_defender_xdr": ("host.isolate", "host.restrict_execution", "host.collect_evidence", "hash.block"),
        "paloalto_cortex_xdr": ("host.isolate", "file.quarantine"),
        "sophos_central": ("host.isolate",),
        "carbon_black_cloud": ("host.isolate",),
    },
    "identity": {
        "okta": ("account.disable", "account.remove_from_group", "account.revoke_sessions"),
        "microsoft_entra_id": ("account.disable", "account.remove_from_group", "account.revoke_sessions"),
    },
    "firewall": {"crowdsec": ("ip.block",), "paloalto_firewall": ("ip.block",)},
}
"""Which families the schedules use at whom, by role."""


def things(families: Iterable[str], alerts: Iterable[str] = ()) -> list[Thing]:
    """Every target there is for these families."""
    return [thing for family in families for thing in _things(family, alerts)]


def _things(family: str, alerts: Iterable[str]) -> list[Thing]:
    kind = family.partition(".")[0]
    if family == "alert.set_disposition":
        return [Thing(family, Target(TargetKind.ALERT, name), name) for name in alerts]
    if family == "ip.block":
        found = [(address, address == "198.51.100.7") for address in ("203.0.113.77", "203.0.113.78", "198.51.100.7")]
        return [Thing(family, Target(TargetKind.ADDRESS, address), address, kept) for address, kept in found]
    if family == "hash.block":
        return [Thing(family, Target(TargetKind.FILE, f"sha256:{part * 32}"), part * 32) for part in ("c0", "c1")]
    if kind == "account":
        made = []
        for account in ACCOUNTS:
            target = Target(TargetKind.ACCOUNT, account.email, {"name": account.name})
            if family == "account.remove_from_group":
                target = Target(TargetKind.MEMBERSHIP, f"{account.email}/{GROUP}")
            made.append(Thing(family, target, account.email, account.name.startswith("crown")))
        return made
    made = []
    for device in DEVICES:
        facts = {"hostname": device.hostname, "pid": str(PROCESS.pid), "path": PROCESS.path}
        target = Target(TargetKind.HOST, device.hostname)
        if family == "file.quarantine":
            target = Target(TargetKind.FILE, f"sha256:{PROCESS.sha256}", facts)
        if family == "process.terminate":
            target = Target(TargetKind.PROCESS, PROCESS.name, facts)
        made.append(Thing(family, target, device.hostname, device.hostname == PROTECTED))
    return made


def enrol(simulator: Simulator, role: str, time: Any) -> list[str]:
    """Puts the story's devices, accounts and alerts there; the alerts' native ids."""
    if role == "identity":
        simulator.add_accounts(ACCOUNTS)
    if role != "edr":
        return []
    simulator.add_devices(DEVICES)
    at = time.clock()
    return [
        simulator.add(
            StoryAlert(
                f"alert-{number}", at, "Encoded script", "office-spawns-script", "high", raised_at=at,
                device=DEVICES[number], user="jdoe", process=PROCESS, technique_ids=("T1059.001",),
            )
        )
        for number in range(len(DEVICES))
    ]  # fmt: skip


@dataclass(slots=True)
class Truth:
    """One slot of one simulator. ``orders`` are those that concern it, oldest first; empty where none are taken."""

    simulator: Simulator
    thing: Thing
    vendor: str
    _kinds: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        family = FAMILIES[self.thing.family]
        self._kinds = tuple(filter(None, (family.on, family.off)))

    @property
    def ordered(self) -> bool:
        """Whether changes are orders that may take effect later."""
        return bool(self._kinds)

    @property
    def one_way(self) -> bool:
        """Whether there is nothing to undo."""
        return not FAMILIES[self.thing.family].inverse

    @property
    def native_id(self) -> str:
        """The vendor's id of the target."""
        if self._on_device:
            return str(self._device.device_id)
        return str(self._member.account_id) if FAMILIES[self.thing.family].role == "identity" else self.thing.name

    def orders(self) -> list[Any]:
        """What the device or account was asked about this."""
        if not self._kinds:
            return []
        asked = self._device.orders if self._on_device else self._member.asked
        return [one for one in asked if one.kind in self._kinds and self._is_about(one.subject)]

    def wants_on(self, order: Any) -> bool:
        """Whether the order switches on."""
        return bool(order.kind == self._kinds[0])

    def settle(self) -> None:
        """What is due happens."""
        self.simulator.fleet.settle()
        self.simulator.directory.settle()

    def is_on(self) -> bool:
        """What is so now, after ``settle``."""
        match self.thing.family:
            case "host.isolate":
                return bool(self._device.isolated)
            case "host.restrict_execution":
                return bool(self._device.restricted)
            case "file.quarantine":
                return bool(self._device.files[PROCESS.path].quarantined)
            case "process.terminate":
                return PROCESS.pid not in self._device.processes
            case "account.disable":
                return not self._member.enabled
            case "account.remove_from_group":
                return GROUP not in self._member.groups
            case "hash.block" | "ip.block":
                return _LISTS[self.vendor, self.thing.family](self.simulator, self.thing.name)
            case "alert.set_disposition":
                return bool(self.simulator.alert_state(self.thing.name)["status"] == "closed")
        return any(order.done for order in self.orders())

    @property
    def others_can(self) -> bool:
        """Whether the story knows what somebody else does here."""
        if self.thing.family == "file.quarantine":  # the others keep books on files that only their agents write
            return self.vendor == "paloalto_cortex_xdr"
        return bool(FAMILIES[self.thing.family].off) or self.vendor == "crowdsec"

    @property
    def is_held_open(self) -> bool:
        """Whether what somebody else asked for stays open: Defender's isolation of what is isolated, for good."""
        if self.vendor != "microsoft_defender_xdr" or not self._on_device:
            return False
        simulator: Any = self.simulator
        rows = [row for row in simulator.actions.actions() if row["machineId"] == self.native_id]
        return any(row["requestSource"] == "Portal" and row["status"] == "Pending" for row in rows)

    def by_somebody_else(self, *, on: bool) -> None:
        """Somebody else switches it in the vendor's own console."""
        family = FAMILIES[self.thing.family]
        if self.vendor == "crowdsec":
            simulator: Any = self.simulator
            if on:
                with suppress(IndexError):  # the plan lets it fail: nothing is banned
                    # At once, also where ours come late: of two that do, nobody could tell which made it so.
                    simulator.ban(self.thing.name, duration="8000h").begins = simulator.now()
            else:
                for ban in simulator.banned(self.thing.name):
                    simulator._decisions.end(ban)
            return
        if self.vendor == "microsoft_defender_xdr":
            path, body = _DEFENDER[family.verb, on]
            with suppress(RefusedError):  # one is under way already: then that is what they see
                actions: Any = self.simulator
                actions.actions.ask(self._device.device_id, path, {"Comment": "by hand", **body}, "admin@example.com")
            return
        kind: Any = family.on if on else family.off
        if self._on_device:
            subject = PROCESS.path if family.verb == "file.quarantine" else ""
            self.simulator.fleet.ask(self._device.device_id, kind, subject)
        else:
            subject = self._group() if family.verb == "account.remove_from_group" else ""
            self.simulator.directory.change(self._member.account_id, kind, subject)

    @property
    def _on_device(self) -> bool:
        return self._kinds != () and FAMILIES[self.thing.family].role == "edr"

    @property
    def _device(self) -> Any:
        name = self.thing.target.facts.get("hostname") or self.thing.name
        found = [one for one in self.simulator.fleet.devices.values() if one.hostname.casefold() == name.casefold()]
        return found[0]

    @property
    def _member(self) -> Any:
        return next(one for one in self.simulator.directory.accounts.values() if one.email == self.thing.name)

    def _group(self) -> str:
        return GROUP

    def _is_about(self, subject: str) -> bool:
        if self.thing.family == "file.quarantine":
            return subject in {PROCESS.path, ""}
        return True


_DEFENDER: Mapping[tuple[str, bool], tuple[str, Mapping[str, str]]] = {
    ("host.isolate", True): ("isolate", {"IsolationType": "Full"}),
    ("host.isolate", False): ("unisolate", {}),
    ("host.restrict_execution", True): ("restrictCodeExecution", {}),
    ("host.restrict_execution", False): ("unrestrictCodeExecution", {}),
}
"""Its portal shows and asks for actions, and so does somebody else."""
_LISTS: Mapping[tuple[str, str], Callable[[Any, str], bool]] = {
    ("crowdstrike_falcon", "hash.block"): lambda simulator, name: any(
        row["value"] == name and row["action"] == "prevent" and not row["deleted"]
        for row in simulator.indicators.values()
    ),
    ("sentinelone", "hash.block"): lambda simulator, name: any(
        row["value"] == name for row in simulator.blocklist.entries.values()
    ),
    ("microsoft_defender_xdr", "hash.block"): lambda simulator, name: any(
        name == str(row.get("indicatorValue", "")).lower() and "Block" in str(row.get("action"))
        for row in simulator.indicators.values()
    ),
    ("crowdsec", "ip.block"): lambda simulator, name: bool(simulator.banned(name)),
    ("paloalto_firewall", "ip.block"): lambda simulator, name: bool(_tags(simulator, name)),
}


def _tags(simulator: Any, name: str) -> list[str]:
    now = simulator.now()
    entry = simulator.tags.entries.get(name)
    return [tag.name for tag in entry.tags.values() if tag.since <= now and tag.lasts(now)] if entry else []

"""The simulated agents: what their scripts really do, and what comes of it in the indexer some time later.

A script's report is written before it does anything. Gateways list their firewall every minute, the host of accounts
inventories its users every five. Only agents themselves know better.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from nightdesk.connectors.wazuh.payloads import listing_payload, report_payload, user_payload
from nightdesk.connectors.wazuh.simulated_search import Search
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan, StoryAccount, StoryDevice
from nightdesk.sdk.testing.directory import Directory
from nightdesk.sdk.testing.estate import Fleet

__all__ = ["ACCOUNTS", "GATEWAYS", "LISTING", "SCRIPTS", "Agent", "Agents"]

GATEWAYS = ("901", "902")
ACCOUNTS = "903"
LISTING = "nightdesk-firewall"
SCRIPTS = ("nightdesk-unblock", "nightdesk-enable-account", "collect-triage")
"""What this operator deployed besides what agents bring along."""

_STOCK = ("firewall-drop", "disable-account", "restart-wazuh")
_LISTS_EVERY = timedelta(minutes=1)
_INVENTORIES_EVERY = timedelta(minutes=5)
_ACCEPTED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


@dataclass(slots=True)
class Agent:
    """One agent. ``drops``: what its firewall drops; ``timers``: what it will undo, and when, as its daemon counts."""

    number: str
    name: str
    address: str
    system: Mapping[str, str]
    device_id: str = ""
    disabled: bool = False
    drops: dict[str, datetime] = field(default_factory=dict)
    timers: dict[str, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, str]:
        """How alerts name it."""
        return {"id": self.number, "name": self.name, "ip": self.address}


class Agents:
    """All agents of one manager."""

    def __init__(self, now: Clock, faults: FaultPlan, fleet: Fleet, directory: Directory, search: Search) -> None:
        self._now, self._faults = now, faults
        self._fleet, self._directory, self._search = fleet, directory, search
        linux = {"name": "Debian GNU/Linux", "platform": "debian", "version": "12"}
        self.agents: dict[str, Agent] = {
            "000": Agent("000", "wazuh-manager", "127.0.0.1", linux),
            GATEWAYS[0]: Agent(GATEWAYS[0], "gw-east", "192.0.2.201", linux),
            GATEWAYS[1]: Agent(GATEWAYS[1], "gw-west", "192.0.2.202", linux),
            ACCOUNTS: Agent(ACCOUNTS, "bastion", "192.0.2.203", linux),
        }
        self._listed = self._inventoried = datetime.min.replace(tzinfo=UTC)
        self._written = 0

    def enrol(self, devices: Iterable[StoryDevice]) -> None:
        """Agents of a story's devices, numbered in the order of their coming."""
        known = {agent.device_id for agent in self.agents.values()}
        for device in devices:
            if device.device_id in known:
                continue
            number = f"{sum(bool(agent.device_id) for agent in self.agents.values()) + 1:03d}"
            server = device.asset_type == "server"
            systems = {
                "Windows": ("Microsoft Windows Server 2022" if server else "Microsoft Windows 11 Pro", "windows"),
                "Linux": ("Ubuntu", "ubuntu"),
                "macOS": ("macOS", "darwin"),
            }
            name, platform = systems[device.platform]
            system = {"name": name, "platform": platform, "version": "10.0"}
            address = device.addresses[0] if device.addresses else "any"
            self.agents[number] = Agent(number, device.hostname, address, system, device.device_id)

    def of_device(self, device: StoryDevice) -> Agent:
        """The agent of a story's device, enrolled if need be."""
        self.enrol([device])
        return next(agent for agent in self.agents.values() if agent.device_id == device.device_id)

    def inventory(self, accounts: Iterable[StoryAccount]) -> None:
        """New users of the host of accounts, found at once."""
        self._directory.add(accounts)
        self._take_inventory()

    def next_number(self) -> int:
        """Where the next alert begins in the manager's file."""
        self._written += 700
        return self._written

    def is_active(self, agent: Agent) -> bool:
        """False while the plan or the fleet says so."""
        device = self._fleet.devices.get(agent.device_id)
        if device is not None:
            return self._fleet.is_online(device)
        return self._faults.standing("offline_host", device_id=agent.number) is None

    def run(self, agent: Agent, script: str, seconds: int | None, message: Mapping[str, Any]) -> None:
        """What the agent does with a command; ``seconds`` None: no timer."""
        if script not in {*_STOCK, *SCRIPTS}:
            return  # the agent's own log says that it has no such script, and no rule tells it
        now = self._now()
        self._report(agent, script, "add", message)
        data = message["parameters"]["alert"].get("data", {})
        late = self._faults.standing("late_effect", device_id=agent.number)
        due = now + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0.0)
        works = self._faults.standing("accepted_then_failed", device_id=agent.number) is None
        match script:
            case "firewall-drop" if _is_address(data.get("srcip")):
                address = str(ip_address(data["srcip"]))
                if seconds is not None and address in agent.timers:
                    # Already counted: the time begins anew, and the script is told to stop.
                    agent.timers[address] = (now + timedelta(seconds=seconds), message)
                    return
                if works:
                    agent.drops[address] = due
                if seconds:
                    agent.timers[address] = (now + timedelta(seconds=seconds), message)
            case "nightdesk-unblock" if _is_address(data.get("srcip")) and works:
                agent.drops.pop(str(ip_address(data["srcip"])), None)
            case "disable-account" | "nightdesk-enable-account" if agent.number == ACCOUNTS:
                self._change(str(data.get("dstuser", "")), "disable" if script == "disable-account" else "enable")
            case "collect-triage" if agent.device_id:
                self._fleet.ask(agent.device_id, "script", script)

    def settle(self) -> None:
        """Carries out what is due, and writes what agents would have written by now."""
        now = self._now()
        for agent in self.agents.values():
            over = {address: one for address, (end, one) in agent.timers.items() if end <= now}
            for address, message in over.items():
                del agent.timers[address]
                agent.drops.pop(address, None)
                self._report(agent, "firewall-drop", "delete", message)
        self._fleet.settle()
        self._directory.settle()
        self._list_firewalls(now)
        if now - self._inventoried >= _INVENTORIES_EVERY:
            self._take_inventory()

    def _list_firewalls(self, now: datetime) -> None:
        tick = now.replace(second=0, microsecond=0)
        if tick <= self._listed:
            return
        self._listed = tick
        for number in GATEWAYS:
            agent = self.agents[number]
            if not self.is_active(agent):
                continue
            shown = [address for address, begins in agent.drops.items() if begins <= now]
            self._write(now, listing_payload(now, self.next_number(), agent.named, LISTING, _listing_of(shown)))

    def _take_inventory(self) -> None:
        now = self._now()
        self._inventoried = now
        self._directory.settle()
        agent = self.agents[ACCOUNTS]
        if not self.is_active(agent):
            return
        self._search.put(
            "wazuh-states-inventory-users-wazuh",
            f"{ACCOUNTS}_root",
            user_payload(agent.named, "root", 0, ["root"], "active"),
        )
        for number, member in enumerate(self._directory.accounts.values()):
            status = "active" if member.enabled else "locked"
            user = user_payload(agent.named, member.name, 1000 + number, sorted(member.groups), status)
            self._search.put("wazuh-states-inventory-users-wazuh", f"{ACCOUNTS}_{member.name}", user)

    def _change(self, login: str, kind: str) -> None:
        member = next((one for one in self._directory.accounts.values() if one.name == login), None)
        if member is not None and login != "root":
            self._directory.change(member.account_id, "disable" if kind == "disable" else "enable")

    def _report(self, agent: Agent, script: str, command: str, message: Mapping[str, Any]) -> None:
        now = self._now()
        said = {"command": command, "parameters": message["parameters"]}
        self._write(now, report_payload(now, self.next_number(), agent.named, script, said))

    def _write(self, moment: datetime, payload: Mapping[str, Any]) -> None:
        self._search.add(f"wazuh-alerts-4.x-{moment.astimezone(UTC):%Y.%m.%d}", payload)


def _listing_of(addresses: Iterable[str]) -> str:
    """Both firewalls as ``iptables -S INPUT`` and ``ip6tables -S INPUT`` print them, and the operator's last line."""
    tables = []
    for version, bits in ((4, 32), (6, 128)):
        shown = [address for address in addresses if ip_address(address).version == version]
        rules = [f"-A INPUT -s {address}/{bits} -j DROP" for address in reversed(shown)]
        tables += ["-P INPUT ACCEPT", *rules, f"-A INPUT {_ACCEPTED}"]
    return "\n".join([*tables, "nightdesk-complete"])


def _is_address(text: Any) -> bool:
    try:
        ip_address(str(text))
    except ValueError:
        return False
    return True

"""The devices of a simulated EDR: what is done to them as orders that a fault plan can delay, fail or reorder."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing.faults import FaultPlan
from nightdesk.sdk.testing.story import StoryDevice

__all__ = ["Device", "Fleet", "Order", "OrderKind", "RunningProcess", "StoredFile"]

OrderKind = Literal[
    "isolate",
    "release",
    "restrict",
    "lift",
    "scan",
    "collect",
    "kill",
    "suspend",
    "resume",
    "quarantine",
    "restore",
    "fetch",
    "script",
]


@dataclass(slots=True)
class Order:
    """One accepted order; ``due`` is when it takes effect, None while the device cannot be reached.

    ``subject`` is what it is about on the device: a process id, the path of a file, a script.
    """

    order_id: str
    kind: OrderKind
    asked_at: datetime
    due: datetime | None
    subject: str = ""
    done: bool = False
    failed: bool = False

    @property
    def isolate(self) -> bool:
        """True for an isolation."""
        return self.kind == "isolate"


@dataclass(slots=True)
class RunningProcess:
    """One process of a device; a killed one is gone."""

    pid: int
    name: str
    suspended: bool = False


@dataclass(slots=True)
class StoredFile:
    """One file of a device."""

    path: str
    sha256: str
    quarantined: bool = False


@dataclass(slots=True)
class Device:
    """One device; ``isolated`` is what the vendor says of it, ``lied_about`` that it is not so (fault ``lies``)."""

    device_id: str
    hostname: str
    addresses: tuple[str, ...]
    asset_type: str = "workstation"
    platform: str = "Windows"
    online: bool = True
    isolated: bool = False
    lied_about: bool = False
    restricted: bool = False
    processes: dict[int, RunningProcess] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)

    @property
    def talks(self) -> bool:
        """What the network really does: True while its packets still get through."""
        return not self.isolated or self.lied_about

    @property
    def pending(self) -> Order | None:
        """The newest order that has neither taken effect nor failed."""
        return next((order for order in reversed(self.orders) if not (order.done or order.failed)), None)

    def carry_out(self, order: Order) -> None:
        """What the order does to the device; one about something that is not there fails."""
        match order.kind:
            case "isolate" | "release":
                self.isolated = order.kind == "isolate"
            case "restrict" | "lift":
                self.restricted = order.kind == "restrict"
            case "kill" | "suspend" | "resume":
                order.failed = not self._handle(order)
            case "quarantine" | "restore":
                found = self.files.get(order.subject)
                order.failed = found is None
                if found is not None:
                    found.quarantined = order.kind == "quarantine"
            case "fetch":
                order.failed = order.subject not in self.files
            case "scan" | "collect" | "script":
                pass
        order.done = not order.failed

    def _handle(self, order: Order) -> bool:
        process = self.processes.get(int(order.subject)) if order.subject.isdecimal() else None
        if process is None:
            return False
        if order.kind == "kill":
            del self.processes[process.pid]
        else:
            process.suspended = order.kind == "suspend"
        return True


class Fleet:
    """All devices; ``settle`` carries out what is due and is called before every read."""

    def __init__(self, clock: Clock, faults: FaultPlan) -> None:
        self._clock = clock
        self._faults = faults
        self.devices: dict[str, Device] = {}

    def add(self, devices: Iterable[StoryDevice], prefix: str = "") -> None:
        """Takes devices of a story; ``prefix`` makes this vendor's own device ids."""
        for device in devices:
            device_id = f"{prefix}{device.device_id}"
            self.devices.setdefault(
                device_id,
                Device(
                    device_id,
                    device.hostname,
                    device.addresses,
                    device.asset_type,
                    device.platform,
                    processes={each.pid: RunningProcess(each.pid, each.name) for each in device.processes},
                    files={each.path: StoredFile(each.path, each.sha256) for each in device.processes},
                ),
            )

    def order(self, device_id: str, *, isolate: bool) -> Order:
        """Accepts an isolation or release of a known device."""
        return self.ask(device_id, "isolate" if isolate else "release")

    def ask(self, device_id: str, kind: OrderKind, subject: str = "") -> Order:
        """Accepts an order for a known device; when it takes effect is the fault plan's business."""
        device = self.devices[device_id]
        now = self._clock()
        due: datetime | None = now
        late = self._faults.standing("late_effect", device_id=device_id)
        if late is not None:
            due = now + timedelta(seconds=float(late.options.get("seconds", 1)))
        order = Order(f"{device_id}-{len(device.orders) + 1}", kind, now, due, subject)
        pending = device.pending
        if pending is not None and self._faults.standing("out_of_order", device_id=device_id):
            # The older one completes last.
            pending.due = (due or now) + timedelta(seconds=1)
        if self._faults.standing("accepted_then_failed", device_id=device_id):
            order.failed = True
        device.orders.append(order)
        self.settle()
        return order

    def is_online(self, device: Device) -> bool:
        """False while the device or the plan says so."""
        return device.online and self._faults.standing("offline_host", device_id=device.device_id) is None

    def settle(self) -> None:
        """Carries out every order that is due on a device that can be reached, in the order they fall due."""
        now = self._clock()
        for device in self.devices.values():
            if not self.is_online(device):
                continue
            waiting = [order for order in device.orders if not (order.done or order.failed) and order.due is not None]
            for order in sorted(waiting, key=lambda order: order.due or now):
                if order.due is not None and order.due <= now:
                    lie = self._faults.standing("lies", device_id=device.device_id) if order.isolate else None
                    device.lied_about = lie is not None or (device.lied_about and order.kind != "release")
                    device.carry_out(order)

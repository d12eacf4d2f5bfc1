"""The devices of a simulated EDR: containment as a state machine that a fault plan can delay, fail or reorder."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing.faults import FaultPlan
from nightdesk.sdk.testing.story import StoryDevice

__all__ = ["Device", "Fleet", "Order"]


@dataclass(slots=True)
class Order:
    """One accepted isolation or release; ``due`` is when it takes effect, None while the device cannot be reached."""

    order_id: str
    isolate: bool
    asked_at: datetime
    due: datetime | None
    done: bool = False
    failed: bool = False


@dataclass(slots=True)
class Device:
    """One device; ``isolated`` is what the network really does to it."""

    device_id: str
    hostname: str
    addresses: tuple[str, ...]
    asset_type: str = "workstation"
    platform: str = "Windows"
    online: bool = True
    isolated: bool = False
    orders: list[Order] = field(default_factory=list)

    @property
    def pending(self) -> Order | None:
        """The newest order that has neither taken effect nor failed."""
        return next((order for order in reversed(self.orders) if not (order.done or order.failed)), None)


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
                Device(device_id, device.hostname, device.addresses, device.asset_type, device.platform),
            )

    def order(self, device_id: str, *, isolate: bool) -> Order:
        """Accepts an isolation or release of a known device; when it takes effect is the fault plan's business."""
        device = self.devices[device_id]
        now = self._clock()
        due: datetime | None = now
        late = self._faults.standing("late_effect", device_id=device_id)
        if late is not None:
            due = now + timedelta(seconds=float(late.options.get("seconds", 1)))
        order = Order(f"{device_id}-{len(device.orders) + 1}", isolate, now, due)
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
                    device.isolated = order.isolate
                    order.done = True

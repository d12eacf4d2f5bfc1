"""What Darktrace's records leave to their reader: typed evidence, devices that are accounts, masked addresses."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from nightdesk.normalizers.darktrace.evidence import observe, spread
from nightdesk.stix import values
from nightdesk.stix.networks import is_outside

__all__ = ["FUNCTIONS"]

# Behaviour categories under which nobody attacks anybody.
_QUIET: Final = frozenset({"compliance", "informational"})
_SAAS: Final = re.compile(r"\s*SaaS::([^:]{1,80}):\s*(.+)", re.DOTALL)
_KINDS: Final = {
    "desktop": "workstation", "laptop": "workstation", "virtualdesktop": "workstation", "mobile": "mobile",
    "tablet": "mobile", "phone": "mobile", "iot": "iot", "iotdevice": "iot", "camera": "iot", "printer": "iot",
    "router": "network-device", "switch": "network-device", "firewall": "network-device", "wifi": "network-device",
    "accesspoint": "network-device", "proxyserver": "server", "domaincontroller": "server",
}  # fmt: skip
# Priorities of the models, for versions that do not name the category yet.
_LOUDEST, _LOUD = 5, 4


def _at(record: Any, *path: str) -> Any:
    for step in path:
        if isinstance(record, list):
            record = record[0] if record else None
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _text(record: Any, *path: str) -> str:
    found = _at(record, *path)
    return found.strip() if isinstance(found, str) else ""


def _category(record: Any) -> str:
    """The behaviour category of a breach's model, or of an incident event and its incident."""
    for path in (("model", "then", "category"), ("model", "category"), ("category",), ("groupCategory",)):
        if word := _text(record, *path):
            return word.lower()
    return ""


def level(record: Any) -> str | None:
    """Severity by behaviour category; older versions give the model's priority of 0 to 5 only.

    The console's order is critical, suspicious, compliance, informational; priority 5 is critical and 4 suspicious.
    Raises ValueError for a category that is in no table.
    """
    word = _category(record)
    if word:
        table = {"critical": "critical", "suspicious": "medium", "compliance": "low", "informational": "informational"}
        if word not in table:
            raise ValueError(word)
        return table[word]
    priority = _at(record, "model", "then", "priority")
    priority = _at(record, "model", "priority") if priority is None else priority
    if not isinstance(priority, int) or isinstance(priority, bool):
        return None
    return "critical" if priority >= _LOUDEST else "medium" if priority == _LOUD else "informational"


def loud(record: Any) -> bool | None:
    """Whether the far ends of what was seen are held for hostile: not where the model watches the company's rules."""
    if _category(record):
        return None if _category(record) in _QUIET else True
    return True if level(record) in {"critical", "medium"} else None


def weighed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with ``hostile`` where the far ends of what was seen are held for that."""
    try:
        return {**record, "hostile": True} if loud(record) else record
    except ValueError:
        return record


def handled(value: Any) -> str:
    """Closed when somebody acknowledged it: that takes it off the console's list."""
    return "closed" if value is True or (isinstance(value, dict) and value) or value == "true" else "new"


def acknowledged(value: Any) -> str | None:
    """That state in the product's own word."""
    return "acknowledged" if handled(value) == "closed" else None


def plain_address(value: Any) -> str | None:
    """An address without its prefix length; a whole network is none, and neither is a masked one (``10.0.0.#412``)."""
    text, _, length = value.strip().partition("/") if isinstance(value, str) else ("", "", "")
    found = values.address(text)
    if found is None or not length:
        return found and found[1]
    try:
        interface = ipaddress.ip_interface(f"{found[1]}/{length}")
    except ValueError:
        return None
    alone = interface.network.prefixlen == interface.max_prefixlen
    return found[1] if alone or interface.ip != interface.network.network_address else None


def outside(value: Any) -> str | None:
    """A plain address that is nobody's own."""
    text = plain_address(value)
    return text if is_outside(text) else None


def machine(value: Any) -> str | None:
    """A device's name, when it is a machine's; Darktrace models an account of a cloud service as a device too."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and not _SAAS.fullmatch(text) and plain_address(text) is None and "/" not in text else None


def saas_user(value: Any) -> str | None:
    """Who the device is, when it is an account of a cloud service (``SaaS::Slack: ann@example.com``)."""
    match = _SAAS.fullmatch(value) if isinstance(value, str) else None
    return match[2].strip() or None if match else None


def device_id(record: Any) -> str | None:
    """A device's number, when there is a device and it is a machine; -1 is the appliance itself."""
    number, name = _at(record, "did"), _text(record, "hostname") or _text(record, "identifier")
    known = isinstance(number, int) and not isinstance(number, bool) and number > 0
    return str(number) if known and not _SAAS.fullmatch(name) else None


def device_kind(value: Any) -> str | None:
    """The kind of machine; every kind of server ends in that word."""
    word = value.lower() if isinstance(value, str) else ""
    return _KINDS.get(word) or ("server" if word.endswith("server") else None)


def host_of(url: Any) -> str | None:
    """Which appliance speaks: the name in a link to its console."""
    match = re.match(r"https?://([^/?#]{1,253})", url) if isinstance(url, str) else None
    return match[1] if match else None


def title(record: Any) -> str | None:
    """A breach's title: its model, whose folders Darktrace writes before it, and its device."""
    name = _text(record, "model", "then", "name") or _text(record, "model", "name")
    device = _at(record, "device") or _at(record, "triggeredComponents", "device")
    who = _text(device, "devicelabel") or _text(device, "hostname") or _text(device, "ip")
    return f"{name} on {who}" if name and who else name or None


def response_title(record: Any) -> str | None:
    """A response's title: what it does, its state, and its device."""
    what, state = _text(record, "inhibitor") or "Autonomous response", _text(record, "action")
    who = _text(record, "device", "hostname") or _text(record, "device", "ip")
    return what + (f" ({state})" if state else "") + (f" on {who}" if who else "")


def _times(periods: Any, key: str) -> Iterator[int]:
    for period in periods if isinstance(periods, list) else [periods]:
        found = _at(period, key)
        if isinstance(found, int | float) and not isinstance(found, bool) and values.epoch(repr(found)):
            yield int(found)


def earliest(periods: Any) -> int | None:
    """When the first period began."""
    return min(_times(periods, "start"), default=None)


def latest(periods: Any) -> int | None:
    """When the last period ended."""
    return max(_times(periods, "end"), default=None)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        observe, spread, weighed, level, loud, handled, acknowledged, plain_address, outside, machine, saas_user,
        device_id, device_kind, host_of, title, response_title, earliest, latest,
    )
}  # fmt: skip

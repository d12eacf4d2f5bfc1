"""What Wazuh's decoders leave in several fields: escaped Windows data, ports beside addresses, who speaks, who acts."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside, is_outside
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

_LONE: Final = re.compile(r'(?<!\\)\\(?![\\"])')
_ESCAPED: Final = re.compile(r'\\([\\"])')
_END: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?")
_SNORT: Final = re.compile(r"\{\w{1,10}\} \S{2,45}?:(\d{1,5}) -> \S{2,45}?:(\d{1,5})(?:\s|$)")
_CLOUDS: Final = ("aws", "office365", "gcp", "github", "ms-graph", "azure", "docker_hub")
_SOURCES: Final = (
    ("srcip",), ("src_ip",), ("win", "eventdata", "ipAddress"), ("aws", "sourceIPAddress"),
    ("aws", "source_ip_address"), ("office365", "ClientIP"), ("office365", "ClientIPAddress"),
    ("gcp", "protoPayload", "requestMetadata", "callerIp"), ("github", "actor_ip"),
)  # fmt: skip
_REMOTE: Final = tuple(
    ("aws", "service", "action", action, "remoteIpDetails", "ipAddressV4")
    for action in ("networkConnectionAction", "awsApiCallAction", "kubernetesApiCallAction", "rdsLoginAttemptAction")
)
# Whose hashes a Sysmon event carries, by its number.
_HASHED: Final = {"image": {"1"}, "loaded": {"6", "7"}, "written": {"15", "23", "24", "26", "29"}}
_SYSTEM: Final = frozenset({"S-1-5-18", "S-1-5-19", "S-1-5-20", "S-1-0-0"})
_GRAVE: Final = 7
# Events of the Security channel about groups: created, changed, deleted, members added and removed.
_OF_GROUPS: Final = {str(n) for n in (*range(4727, 4738), *range(4744, 4763), 4764, 4799)}
_CREATED: Final = "4688"


def _event(record: Any) -> str:
    return str(value_at(record, "data", "win", "system", "eventID") or "")


def _groups(record: Any) -> set[str]:
    found = value_at(record, "rule", "groups")
    return {item.strip() for item in found if isinstance(item, str)} if isinstance(found, list) else set()


def unescape_windows(record: dict[str, Any]) -> dict[str, Any]:
    r"""Windows event data as Windows wrote it: ``C:\\Temp`` is ``C:\Temp``; data that is not escaped stays."""
    pairs = value_at(record, "data", "win", "eventdata")
    if not isinstance(pairs, dict):
        return record
    texts = {key: value for key, value in pairs.items() if isinstance(value, str) and "\\" in value}
    if not texts or any(_LONE.search(value) for value in texts.values()):
        return record
    plain = {key: _ESCAPED.sub(r"\1", value) for key, value in texts.items()}
    data = record["data"]
    return {**record, "data": {**data, "win": {**data["win"], "eventdata": {**pairs, **plain}}}}


def end(value: Any) -> str | None:
    """The address of one end, which decoders also write with a port behind it."""
    if not isinstance(value, str):
        return None
    known = values.address(value)
    match = None if known else _END.fullmatch(value.strip())
    found = known or (values.address(match[1] or match[2]) if match else None)
    return found[1] if found else None


def remote_ends(record: Any) -> list[str]:
    """The far ends that a cloud's own detection names."""
    found = (end(value_at(record, "data", *steps)) for steps in _REMOTE)
    return list(dict.fromkeys(address for address in found if address))


def attacker(record: Any) -> str | None:
    """An address outside from which something was tried; of an IDS alert the far end, whichever it is."""
    groups, data = _groups(record), value_at(record, "data")
    if "authentication_success" in groups:
        return None
    sources = [address for steps in _SOURCES if (address := end(value_at(data, *steps)))]
    if "ids" in groups:
        sources += [address for key in ("dstip", "dest_ip") if (address := end(value_at(data, key)))]
    outside = [address for address in (*sources, *remote_ends(record)) if is_outside(address)]
    return outside[0] if len(set(outside)) == 1 else None


def snort_port(record: Any, side: str) -> str | None:
    """A port from the log line of Snort's and Suricata's text output; the decoder keeps only the second one."""
    line = value_at(record, "full_log")
    match = _SNORT.search(line[-200:]) if isinstance(line, str) and "ids" in _groups(record) else None
    return match[1 if side == "source" else 2] if match else None


def _reported(record: Any) -> str | None:
    """Another machine's name in the header of a log that a manager or an agent collects."""
    name = value_at(record, "predecoder", "hostname")
    own = [value_at(record, "agent", "name"), value_at(record, "manager", "name")]
    short = {text.partition(".")[0].lower() for text in own if isinstance(text, str)}
    if not isinstance(name, str) or not name.strip() or values.address(name):
        return None
    return None if name.partition(".")[0].lower() in short else name


def reporter(record: Any) -> str | None:
    """The machine whose log another one collects."""
    return _reported(record)


def speaks_for_itself(record: Any) -> bool | None:
    """Whether the alert is about the agent's machine: no cloud's log, none it collects, no traffic it overhears."""
    data = value_at(record, "data")
    if any(value_at(data, name) for name in _CLOUDS):
        return None
    own = end(value_at(record, "agent", "ip"))
    overheard = "ids" in _groups(record) and own not in _ends(record)
    collected = value_at(record, "agent", "id") == "000" and _reported(record)
    return None if overheard or collected else True


def agent_uid(record: Any) -> str | None:
    """The agent's number with its manager's name: numbers begin at 001 under every manager."""
    number, manager = value_at(record, "agent", "id"), value_at(record, "manager", "name")
    if not isinstance(number, str | int) or isinstance(number, bool) or number == "":
        return None
    return f"{manager}/{number}" if isinstance(manager, str) and manager else str(number)


def _ends(record: Any) -> tuple[str, ...]:
    found = (end(value_at(record, "data", key)) for key in ("srcip", "src_ip", "dstip", "dest_ip"))
    return tuple(address for address in found if address)


def sensed_machine(record: Any) -> str | None:
    """Of an IDS alert, the machine inside that talks to the far end, when it is not the agent itself."""
    ends = _ends(record) if "ids" in _groups(record) else ()
    inside = [address for address in ends if is_inside(address)]
    return (
        inside[0] if len(inside) == 1 and len(ends) > 1 and inside[0] != end(value_at(record, "agent", "ip")) else None
    )


def acts(record: Any) -> bool | None:
    """Whether the subject of a Windows event is a person's account: no machine, and not the system."""
    name = value_at(record, "data", "win", "eventdata", "subjectUserName")
    sid = value_at(record, "data", "win", "eventdata", "subjectUserSid")
    known = isinstance(name, str) and name.strip() not in {"", "-"} and not name.endswith("$")
    return True if known and sid not in _SYSTEM else None


def aims_at_user(record: Any) -> bool | None:
    """Whether the target of a Windows event is an account of a user: not of a group, whose events name it so too."""
    name = value_at(record, "data", "win", "eventdata", "targetUserName")
    known = isinstance(name, str) and name.strip() not in {"", "-"}
    return True if known and _event(record) not in _OF_GROUPS else None


def creator(record: Any) -> str | None:
    """The parent's process id, which the event of a new process calls ``processId``."""
    found = value_at(record, "data", "win", "eventdata", "processId")
    return found if _event(record) == _CREATED and isinstance(found, str) else None


def accused(record: Any) -> bool | None:
    """Whether a rule of level 7 or more is about a process that began: then that process is what it warns of."""
    level = value_at(record, "rule", "level")
    grave = isinstance(level, int) and not isinstance(level, bool) and level >= _GRAVE
    began = _event(record) == _CREATED or bool({"sysmon_event1", "sysmon_process-anomalies"} & _groups(record))
    return True if grave and began else None


def hashes_of(record: Any, which: str) -> list[str]:
    """Sysmon's hashes when the event carries those of that file; in others they are those of another."""
    text = value_at(record, "data", "win", "eventdata", "hashes")
    if not isinstance(text, str) or _event(record) not in _HASHED[which]:
        return []
    pairs = [part.partition("=") for part in text.split(",")]
    return [digest for name, _, digest in pairs if name.strip().upper() in {"MD5", "SHA1", "SHA256"}]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        unescape_windows, end, remote_ends, attacker, snort_port, reporter, speaks_for_itself, agent_uid,
        sensed_machine, acts, aims_at_user, creator, accused, hashes_of,
    )
}  # fmt: skip

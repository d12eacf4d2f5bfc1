"""What splunkd writes: notables as rows, entries and messages as JSON or, unless asked otherwise, as Atom and XML."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from nightdesk.connectors.splunk_es.spl import Row, text_of
from nightdesk.sdk.testing import StoryAlert

__all__ = [
    "DISPOSITIONS",
    "ENDS",
    "STATUSES",
    "VERDICTS",
    "atom",
    "error_xml",
    "feed_json",
    "notable",
    "rendered",
    "review_entries",
]

STATUSES = {"0": "Unassigned", "1": "New", "2": "In Progress", "3": "Pending", "4": "Resolved", "5": "Closed"}
ENDS = frozenset({"5"})
DISPOSITIONS = {
    "disposition:0": "Unassigned",
    "disposition:1": "True Positive - Suspicious Activity",
    "disposition:2": "Benign Positive - Suspicious But Expected",
    "disposition:3": "False Positive - Incorrect Analytic Logic",
    "disposition:4": "False Positive - Inaccurate Data",
    "disposition:5": "Other",
    "disposition:6": "Undetermined",
}
VERDICTS = {
    "disposition:1": "true-positive",
    "disposition:2": "benign-positive",
    "disposition:3": "false-positive",
    "disposition:4": "false-positive",
    "disposition:5": "other",
    "disposition:6": "undetermined",
}
_RISK = {"informational": 10, "low": 20, "medium": 40, "high": 60, "critical": 80}
_USER_ZONE = timezone(timedelta(hours=5, minutes=30))
_NAMESPACES = 'xmlns="http://www.w3.org/2005/Atom" xmlns:s="http://dev.splunk.com/ns/rest"'


def notable(alert: StoryAlert, *, guid: str, number: int) -> tuple[Row, Row]:
    """The indexed event, and what the ``notable`` macro adds to it."""
    at, told = alert.at.timestamp(), int(alert.told.timestamp())
    search_name = f"{_domain(alert).title()} - {alert.rule_id} - Rule"
    facts = {name: value for name, value in _facts(alert).items() if value}
    raw = ", ".join(
        [
            f'{at:.3f}, search_name="{search_name}"',
            f'orig_time="{at:.3f}"',
            f'info_search_time="{told:.3f}"',
            f'orig_rid="{number}"',
        ]
        + [f'{name}="{value}"' for name, values in facts.items() for value in _listed(values)]
    )
    bucket, host = f"notable~{number // 1000}~{guid}", "es-search-head.example.net"
    event: Row = {
        "_bkt": bucket,
        "_cd": f"{number // 1000}:{number}",
        "_indextime": str(told),
        "_raw": raw,
        "_si": [host, "notable"],
        "_sourcetype": "stash",
        "_time": at,
        "host": host,
        "index": "notable",
        "linecount": "1",
        "source": search_name,
        "sourcetype": "stash",
        "splunk_server": host,
    }
    digest = hashlib.md5(f"{text_of(at)}{raw}".encode(), usedforsecurity=False).hexdigest()
    device = alert.device
    added: Row = {
        **facts,
        "event_hash": digest,
        "event_id": f"{guid}@@notable@@{digest}",
        "search_name": search_name,
        "rule_name": alert.title,
        "rule_title": alert.title,
        "rule_description": alert.description or alert.title,
        "savedsearch_description": alert.description or alert.title,
        "security_domain": _domain(alert),
        "severity": alert.severity,
        "urgency": alert.severity,
        "priority": "medium" if device and device.asset_type == "server" else "low",
        "status": "1",
        "owner": "unassigned",
        "disposition": "disposition:0",
        "notable_type": "notable",
        "orig_time": f"{at:.3f}",
        "orig_rid": str(number),
        "info_min_time": f"{at - 3600:.9f}",
        "info_max_time": f"{at:.9f}",
        "info_search_time": f"{told:.9f}",
        "risk_score": str(_RISK[alert.severity]),
        "tag": ["modnotable", "notable"],
        "eventtype": ["modnotable_results", "notable"],
    }
    if device or alert.user:
        added["risk_object"] = device.hostname if device else alert.user
        added["risk_object_type"] = "system" if device else "user"
    return event, added


def _facts(alert: StoryAlert) -> dict[str, Any]:
    device, process = alert.device, alert.process
    host, addresses = (device.hostname, list(device.addresses)) if device else ("", [])
    outward = bool(device and alert.destination_address)
    return {
        "src": host if outward else alert.source_address,
        "src_ip": addresses if outward else alert.source_address,
        "src_port": "" if alert.source_port is None else str(alert.source_port),
        "dest": alert.destination_address or host,
        "dest_ip": alert.destination_address or addresses,
        "dest_port": "" if alert.destination_port is None else str(alert.destination_port),
        "dest_nt_host": "" if outward else host,
        "user": alert.user,
        "user_domain": alert.user_domain,
        "user_id": alert.user_sid,
        "query": alert.domain,
        "process": process.command_line if process else "",
        "process_name": process.name if process else "",
        "process_path": process.path if process else "",
        "process_id": str(process.pid) if process else "",
        "parent_process": process.parent_command_line if process else "",
        "parent_process_name": process.parent_name if process else "",
        "file_hash": alert.convicted_sha256 or (process.sha256 if process else ""),
        "file_name": process.name if process else "",
        "annotations.mitre_attack": list(alert.technique_ids),
        "annotations.mitre_attack.mitre_technique_id": list(alert.technique_ids),
        "annotations.mitre_attack.mitre_tactic_id": list(alert.tactic_ids),
    }


def rendered(row: Row, serial: int) -> dict[str, Any]:
    """A row as results show it: text only, one value bare and several as a list, times in the user's time zone."""
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if name == "_time":
            shown[name] = datetime.fromtimestamp(float(value), _USER_ZONE).isoformat(timespec="milliseconds")
        elif isinstance(value, list):
            shown[name] = value[0] if len(value) == 1 else list(value)
        else:
            shown[name] = text_of(value)
    return {**shown, "_serial": str(serial)}


def review_entries(statuses: Mapping[str, str], dispositions: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """``reviewstatuses``: both kinds in one list, one entry disabled and one for investigations, flags as text."""
    rows = [(name, label, "notable", "0") for name, label in statuses.items()]
    rows += [(name, label, "disposition", "0") for name, label in dispositions.items()]
    rows += [("90", "Retired", "notable", "1"), ("80", "Under Investigation", "investigation", "0")]
    return [
        (
            name,
            {
                "label": label,
                "status_type": kind,
                "disabled": disabled,
                "default": "1" if name == "1" else "0",
                "end": "1" if name in ENDS else "0",
            },
        )
        for name, label, kind, disabled in rows
    ]


def feed_json(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Entries as ``output_mode=json`` shows them."""
    shown = [{"name": name, "id": f"https://splunkd/{name}", "content": dict(content)} for name, content in entries]
    return {
        "links": {},
        "generator": {"build": "0", "version": "0"},
        "entry": shown,
        "paging": {"total": len(shown), "perPage": 30, "offset": 0},
        "messages": [],
    }


def atom(entries: Sequence[tuple[str, Mapping[str, Any]]], *, bare: bool = False) -> str:
    """Entries as Atom; a search job comes bare, without a feed round it."""
    parts = [
        f"<entry{' ' + _NAMESPACES if bare else ''}><title>{escape(name)}</title>"
        f'<link href={quoteattr(f"/services/{name}")} rel="alternate"/>'
        f'<content type="text/xml">{_value(content)}</content></entry>'
        for name, content in entries
    ]
    return "".join(parts) if bare else f"<feed {_NAMESPACES}><title>splunkd</title>{''.join(parts)}</feed>"


def error_xml(kind: str, text: str) -> str:
    """One message in splunkd's own envelope."""
    return f"<response><messages><msg type={quoteattr(kind)}>{escape(text)}</msg></messages></response>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        keys = (f"<s:key name={quoteattr(str(name))}>{_value(one)}</s:key>" for name, one in value.items())
        return f"<s:dict>{''.join(keys)}</s:dict>"
    if isinstance(value, list):
        return f"<s:list>{''.join(f'<s:item>{_value(one)}</s:item>' for one in value)}</s:list>"
    return escape(str(value))


def _domain(alert: StoryAlert) -> str:
    if alert.process or alert.convicted_sha256:
        return "endpoint"
    if alert.destination_address or alert.domain:
        return "network"
    return "identity" if alert.user else "threat"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

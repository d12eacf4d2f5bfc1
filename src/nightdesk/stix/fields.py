"""The fields a mapping may fill and the kind of value each takes; docs/reference/mappings.md lists the same."""

from collections.abc import Mapping
from typing import Final

__all__ = ["ALERT_FIELDS", "HAS_POINTER", "HAS_ROLE", "OBJECT_FIELDS", "OBSERVATION_FIELDS", "OBSERVATION_TABLES"]

ALERT_FIELDS: Final[Mapping[str, str]] = {
    "native_id": "text", "instance": "text", "created": "time", "modified": "time", "title": "text",
    "description": "text", "severity": "text", "native_severity": "text", "confidence": "integer", "status": "text",
    "native_status": "text", "verdict": "text", "native_verdict": "text", "disposition": "text",
    "native_parent_id": "text", "native_type": "text", "product_version": "text", "console_url": "text",
    "occurrences": "integer", "first": "time", "last": "time",
    "rule_id": "text", "rule_name": "text", "rule_version": "text", "rule_type": "text", "rule_url": "url",
}  # fmt: skip
OBSERVATION_FIELDS: Final[Mapping[str, str]] = {
    "asset_ref": "ref", "event_category": "texts", "event_action": "text", "event_outcome": "text",
    "event_code": "text", "event_provider": "text", "class_uid": "integer", "activity": "text", "primary_ref": "ref",
    "actor_ref": "ref", "target_ref": "ref",
}  # fmt: skip
OBSERVATION_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "api": ("operation", "service", "request_uid", "api_version", "error_code"),
    "cloud": ("provider", "account_uid", "region", "zone", "resource_uid", "resource_type", "org_uid", "project_uid"),
    "auth": ("auth_protocol", "logon_type", "session_uid", "failure_reason"),
}
"""The tables of the observation extension and their keys; without the first key ``api`` and ``cloud`` say nothing."""
OBJECT_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "address": {"value": "text"},
    "mac": {"value": "text"},
    "domain": {"value": "text"},
    "url": {"value": "text"},
    "email": {"value": "text", "owner": "ref"},
    "autonomous_system": {"value": "integer", "name": "text"},
    "directory": {"value": "text"},
    "file": {
        "name": "text", "path": "text", "hashes": "hashes", "size": "integer", "mime_type": "text", "created": "time",
        "modified": "time", "accessed": "time",
    },
    "process": {
        "key": "parts", "pid": "integer", "command_line": "text", "cwd": "text", "created": "time", "image": "ref",
        "parent": "ref", "user": "ref", "connections": "refs", "integrity": "text", "owner_sid": "text",
    },
    "account": {
        "login": "text", "uid": "text", "domain": "text", "account_type": "text", "display_name": "text",
        "privileged": "flag", "service": "flag",
    },
    "traffic": {
        "source": "ref", "destination": "ref", "source_port": "integer", "destination_port": "integer",
        "protocols": "texts", "start": "time", "bytes_out": "integer", "bytes_in": "integer", "method": "text",
        "target": "text", "user_agent": "text",
    },
    "registry_key": {"value": "text", "name": "text", "data": "text", "data_type": "text"},
    "software": {"value": "text", "version": "text", "vendor": "text"},
    "asset": {
        "value": "text", "hostname": "text", "domain": "text", "fqdn": "text", "kind": "text", "address": "text",
        "cloud": "texts_by_name",
    },
    "message": {
        "subject": "text", "sender": "ref", "to": "refs", "cc": "refs", "message_id": "text", "date": "time",
    },
    "certificate": {
        "hashes": "texts", "serial": "text", "subject": "text", "issuer": "text", "not_before": "time",
        "not_after": "time",
    },
    "vulnerability": {"value": "text", "description": "text"},
    "malware": {"value": "text", "types": "texts"},
    "indicator": {"value": "ref"},
    "link": {"value": "ref", "kind": "word", "target": "ref"},
}  # fmt: skip
HAS_ROLE: Final = frozenset({"address", "domain", "url", "email", "file", "process", "account", "asset"})
HAS_POINTER: Final = frozenset({"address", "mac", "domain", "url", "email", "file"})

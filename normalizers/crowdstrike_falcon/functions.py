"""What Falcon's lists need: the ids of observables that belong to one element of a list, and directories as paths.

A mapping names an object by its label, and after a list that is the list's last object. Ids of observables follow from
their content alone (STIX 2.1 section 2.9), so an element's own file or account is named by computing its id.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.observables import Observables
from nightdesk.stix.scope import Scope

__all__ = ["FUNCTIONS"]

# Ids of observables do not depend on the tenant; this one is never written anywhere.
_NOBODY: Final = Scope("nobody", "nobody", TenantKey(bytes(32)))
_ABSENT: Final = "-"
_OWN_HASHES: Final = ("md5", "sha1", "sha256", "MD5String", "SHA1String", "SHA256String")


def _silent(pointer: str, wanted: str, found: Any) -> None:
    """The object itself reports what is wrong with it; its id is asked for a second time here."""


def _observables() -> Observables:
    return Observables(_NOBODY, "", _silent)


def _value(element: Any, key: str) -> Any:
    """What stands under a key, ``outer.inner`` for a nested one; of a list, in its first element."""
    if isinstance(element, list):
        element = element[0] if element else None
    for step in key.split("."):
        element = element.get(step) if isinstance(element, dict) else None
    return element


def _field(element: Any, key: str) -> str | None:
    value = _value(element, key) if key != _ABSENT else None
    return value if isinstance(value, str) and value.strip() else None


def first(elements: Any, key: str) -> Any:
    """A key of the first element of a list."""
    return _value(elements, key)


def file_id(element: Any, path: str, name: str, *hashes: str) -> str | None:
    """The id of the file whose path, name and hashes stand under these keys of an object (``-`` for none).

    Of a list it is the first element's.
    """
    digests = [_field(element, key) for key in hashes]
    return _observables().file(path=_field(element, path), name=_field(element, name), hashes=digests)


def account_id(element: Any, login: str, uid: str) -> str | None:
    """The id of the account whose name and SID stand under these keys of an object, or of a list's first one."""
    return _observables().account(login=_field(element, login), uid=_field(element, uid))


def folder(value: Any) -> str | None:
    r"""A directory, written so that a path reader takes none of it for a file name: ``C:\Temp`` is ``C:\Temp\``."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value if value.endswith(("/", "\\")) else value + ("/" if value.startswith("/") else "\\")


def account_kind(record: Any) -> str | None:
    """The STIX type of the record's user: a logon domain that is the machine's own name is a local account."""
    domain = _field(record, "logon_domain") or _field(record, "LogonDomain")
    device = record.get("device") if isinstance(record, dict) else None
    host = _field(device, "hostname") or _field(record, "Hostname") or _field(record, "ComputerName")
    if domain:
        return "windows-local" if host and domain.lower() == host.partition(".")[0].lower() else None
    return "unix" if _field(device, "platform_name") in {"Linux", "Mac"} else None


def convicts(record: Any) -> bool | None:
    """Whether Falcon itself says that the file is bad: it quarantines it, or its hash is what the detection rests on.

    A custom rule of behaviour names the hash of the process it met too, and says nothing of the file by that.
    """
    if not isinstance(record, dict):
        return None
    switches = record.get("pattern_disposition_details") or record.get("PatternDispositionFlags")
    if isinstance(switches, dict) and True in (switches.get("quarantine_file"), switches.get("QuarantineFile")):
        return True
    kind = _field(record, "ioc_type") or _field(record, "IOCType") or ""
    technique = _field(record, "technique") or _field(record, "Technique")
    return True if kind.startswith("hash_") and technique != "Indicator of Attack" else None


def ioc_hashes(record: Any) -> list[str]:
    """The hashes that the detection rests on, but for those of the record's own file, which stand there already."""
    kind = _field(record, "ioc_type") or _field(record, "IOCType") or ""
    if not kind.startswith("hash_"):
        return []
    own = {(_field(record, key) or "").lower() for key in _OWN_HASHES}
    found = (_field(record, "ioc_value") or _field(record, "IOCValue") or "").split(",")
    return [text.strip() for text in found if values.hash_name(text) and text.strip().lower() not in own]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (first, file_id, account_id, folder, account_kind, convicts, ioc_hashes)
}

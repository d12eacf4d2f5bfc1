"""Builds the observables of one alert: values in, STIX ids out, one object an id.

Every method takes what a payload may hold, None included, and returns the id of the object or None when there is not
enough to make one. What cannot be such a value is reported through ``problem``, never dropped in silence (law 8).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.stix import values
from nightdesk.stix.ids import observable_id, value_id
from nightdesk.stix.scope import Scope

__all__ = ["Observables"]

SHARED = "shared"
"""The role of what stands for many (a company's own egress address): an observable, and no entity."""
_HASHES = ("MD5", "SHA-1", "SHA-256", "SHA-512")
_ALGORITHMS = {64: "sha256", 40: "sha1", 32: "md5"}
_INTEGRITY = {"untrusted": "low", "low": "low", "medium": "medium", "high": "high", "system": "system"}
# Registered media types that alerts really carry; consumers refuse any other (validator code 271).
_MEDIA = {
    "application/gzip", "application/java-archive", "application/json", "application/msword",
    "application/octet-stream", "application/pdf", "application/rtf", "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/xml", "application/zip",
    "image/gif", "image/jpeg", "image/png", "image/svg+xml", "message/rfc822", "text/calendar", "text/csv",
    "text/html", "text/javascript", "text/plain", "text/xml",
}  # fmt: skip
_ACCOUNT_TYPES = {"unix", "windows-local", "windows-domain", "ldap", "tacacs", "radius", "nis", "openid"}


_NONE: Mapping[str, Any] = {}
_TIME_ALONE = {"created_time"}
"""Is no process to consumers (validator 3.3.2)."""


class Observables:
    """The observables of one alert, in order of first appearance."""

    def __init__(self, scope: Scope, product: str, problem: Callable[[str, str, Any], None]) -> None:
        self.scope = scope
        self.product = product
        self.problem = problem
        self.scos: dict[str, dict[str, Any]] = {}
        self._noted: list[tuple[str | None, str, EntityKind, str, Mapping[str, str | None]]] = []
        self.roles: dict[tuple[str, str], None] = {}
        self._marks = scope.marks

    def _put(self, kind: str, contributing: Mapping[str, Any], rest: Mapping[str, Any] | None = None) -> str:
        return self._keep(kind, observable_id(kind, contributing), contributing, rest)

    def _value(self, kind: str, value: str) -> str:
        ref = value_id(kind, value)
        if ref not in self.scos:
            self.scos[ref] = {
                "type": kind, "spec_version": "2.1", "id": ref, "object_marking_refs": self._marks, "value": value,
            }  # fmt: skip
        return ref

    def _keep(self, kind: str, ref: str, first: Mapping[str, Any], rest: Mapping[str, Any] | None) -> str:
        known = self.scos.get(ref)
        if known is None:
            known = self.scos[ref] = {
                "type": kind, "spec_version": "2.1", "id": ref, "object_marking_refs": self._marks, **first,
            }  # fmt: skip
        if rest:
            for name, value in rest.items():
                if value is not None and name not in known:
                    known[name] = value
        return ref

    def _known(self, kind: str, ref: str | None) -> str | None:
        """The reference when it is to an object of this alert and of that type: a property may hold no other."""
        found = self.scos.get(ref or "")
        return ref if found is not None and found["type"] == kind else None

    def mark(self, role: str | None, ref: str, kind: EntityKind, value: str, **facts: str | None) -> None:
        """Notes an entity for correlation and, with a role, for the alert extension; what many share is neither."""
        if role == SHARED:
            return
        self._noted.append((role, ref, kind, value, facts))
        if role:
            self.roles[(role, ref)] = None

    @property
    def entities(self) -> dict[tuple[str, str], Entity]:
        """What was noted, each thing once: the first role other than *other* counts."""
        found: dict[tuple[str, str], Entity] = {}
        for role, ref, kind, value, facts in self._noted:
            key = (str(kind), value)
            known = found.get(key)
            if known is None or (known.role == "other" and role):
                given = {name: text for name, text in facts.items() if text}
                merged = {**(known.facts if known else {}), **given}
                found[key] = Entity(kind, value, role or "other", known.ref if known else ref, merged)
        return found

    # Addresses and names.

    def address(self, text: str | None, *, role: str | None = None, pointer: str = "") -> str | None:
        """An IPv4 or IPv6 address."""
        if text is None:
            return None
        found = values.address(text)
        if found is None:
            self.problem(pointer, "an IP address", text)
            return None
        ref = self._value(found[0], found[1])
        self.mark(role, ref, EntityKind.ADDRESS, found[1])
        return ref

    def mac(self, text: str | None, *, pointer: str = "") -> str | None:
        """A MAC address."""
        if text is None:
            return None
        found = values.mac(text)
        if found is None:
            self.problem(pointer, "a MAC address", text)
            return None
        return self._value("mac-addr", found)

    def domain(self, text: str | None, *, role: str | None = None, pointer: str = "") -> str | None:
        """A domain name; a text that is an address becomes that address."""
        if text is None:
            return None
        found = values.domain(text)
        if found is None:
            if values.address(text) is not None:
                return self.address(text, role=role and role.replace("domain", "address"), pointer=pointer)
            self.problem(pointer, "a domain name", text)
            return None
        ref = self._value("domain-name", found)
        self.mark(role, ref, EntityKind.DOMAIN, found)
        return ref

    def url(self, text: str | None, *, role: str | None = None, pointer: str = "") -> str | None:
        """An absolute URL."""
        if text is None:
            return None
        found = values.url(text)
        if found is None:
            self.problem(pointer, "an absolute URL", text)
            return None
        ref = self._value("url", found)
        self.mark(role, ref, EntityKind.URL, found)
        return ref

    def email(
        self, text: str | None, *, owner: str | None = None, role: str | None = None, pointer: str = ""
    ) -> str | None:
        """A mail address, of the account ``owner``."""
        if text is None:
            return None
        found = values.email(text)
        if found is None:
            self.problem(pointer, "a mail address", text)
            return None
        ref = self._value("email-addr", found)
        if owner and self._known("user-account", owner):
            self.scos[ref].setdefault("belongs_to_ref", owner)
        self.mark(role, ref, EntityKind.EMAIL, found)
        return ref

    def autonomous_system(self, number: int | None, *, name: str | None = None) -> str | None:
        """An autonomous system."""
        known = number is not None and 0 <= number < 2**32
        return self._put("autonomous-system", {"number": number}, {"name": name}) if known else None

    # Files and processes.

    def directory(self, path: str | None) -> str | None:
        """A directory, without a trailing separator."""
        if not path:
            return None
        trimmed = path.rstrip("\\/")
        return self._put("directory", {"path": path if not trimmed or trimmed.endswith(":") else trimmed})

    def file(  # noqa: PLR0913  # a file has this many properties
        self,
        *,
        name: str | None = None,
        path: str | None = None,
        hashes: Sequence[str | None] = (),
        size: int | None = None,
        mime_type: str | None = None,
        created: datetime | None = None,
        modified: datetime | None = None,
        accessed: datetime | None = None,
        role: str | None = None,
        pointer: str = "",
    ) -> str | None:
        """A file from its name or full path and any of its hashes (told apart by length)."""
        folder, last = values.split_path(path) if path else ("", "")
        digests = self._digests(hashes, pointer) if hashes else {}
        parent = self.directory(folder) if folder else None
        label = last or name
        if not label and not digests:
            return parent
        # Of the hashes only the first of STIX's order enters the id; keys are in the order in which the id wants them.
        contributing: dict[str, Any] = {}
        keyed: dict[str, Any] = {}
        if digests:
            contributing["hashes"] = digests
            first = next(iter(digests))
            keyed["hashes"] = {first: digests[first]}
        if label:
            contributing["name"] = keyed["name"] = label
        if parent:
            contributing["parent_directory_ref"] = keyed["parent_directory_ref"] = parent
        rest: dict[str, Any] = {}
        if size is not None and size >= 0:
            rest["size"] = size
        if mime_type and mime_type.lower() in _MEDIA:
            rest["mime_type"] = mime_type.lower()
        for property_, moment in (("ctime", created), ("mtime", modified), ("atime", accessed)):
            if moment is not None:
                rest[property_] = values.clock_text(moment)
        ref = self._keep("file", observable_id("file", keyed), contributing, rest)
        strongest = digests and (digests.get("SHA-256") or digests.get("SHA-1") or digests.get("MD5"))
        if strongest:
            self.mark(role, ref, EntityKind.FILE, f"{_ALGORITHMS[len(strongest)]}:{strongest}", name=label)
        elif role:
            self.roles[(role, ref)] = None
        return ref

    def _digests(self, hashes: Sequence[str | None], pointer: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for text in hashes:
            named = values.hash_name(text) if text else None
            if named is not None:
                found.setdefault(*named)
            elif text and text.strip("0"):
                self.problem(pointer, "a hash", text)
        return {name: found[name] for name in _HASHES if name in found} if len(found) > 1 else found

    def process(  # noqa: PLR0913  # a process has this many properties
        self,
        *,
        key: Sequence[str | int | None] = (),
        pid: int | None = None,
        command_line: str | None = None,
        cwd: str | None = None,
        created: datetime | None = None,
        image: str | None = None,
        parent: str | None = None,
        user: str | None = None,
        connections: Sequence[str | None] = (),
        integrity: str | None = None,
        owner_sid: str | None = None,
        role: str | None = None,
    ) -> str | None:
        """A process; ``key`` is (host id, vendor process GUID), or (host id, pid, start, image, native id) without."""
        given: dict[str, Any] = {}
        if pid is not None:
            given["pid"] = pid
        if command_line is not None:
            given["command_line"] = command_line
        if cwd is not None:
            given["cwd"] = cwd
        if created is not None:
            given["created_time"] = values.clock_text(created)
        if image and self._known("file", image):  # a path without a name is only a directory
            given["image_ref"] = image
        if given.keys() <= _TIME_ALONE:
            return None
        ref = self.scope.key.id("process", self.product, *["" if part is None else part for part in key])
        if parent and parent != ref and self._known("process", parent):
            given["parent_ref"] = parent
        if user and self._known("user-account", user):
            given["creator_user_ref"] = user
        # One connection told twice is one: two places of a payload may name the same ends.
        opened = dict.fromkeys(to for to in connections if self._known("network-traffic", to)) if connections else None
        if opened:
            given["opened_connection_refs"] = list(opened)
        if integrity and owner_sid and integrity.lower() in _INTEGRITY:
            # stix2-validator 3.3.2 refuses this extension when integrity_level stands alone.
            level = {"integrity_level": _INTEGRITY[integrity.lower()], "owner_sid": owner_sid}
            given["extensions"] = {"windows-process-ext": level}
        self._keep("process", ref, _NONE, given)
        if role:
            self.mark(role, ref, EntityKind.PROCESS, ref.partition("--")[2], pid=None if pid is None else str(pid))
        return ref

    def software(self, name: str | None, *, version: str | None = None, vendor: str | None = None) -> str | None:
        """A program or operating system."""
        if not name:
            return None
        given = {"name": name}
        if version:
            given["version"] = version
        if vendor:
            given["vendor"] = vendor
        return self._put("software", given)

    # Accounts and traffic.

    def account(
        self,
        *,
        login: str | None = None,
        uid: str | None = None,
        domain: str | None = None,
        account_type: str | None = None,
        display_name: str | None = None,
        privileged: bool | None = None,
        service: bool | None = None,
        role: str | None = None,
    ) -> str | None:
        r"""A user account; ``DOMAIN\name`` is taken apart, and stands as the id where there is no SID."""
        if login and "\\" in login:
            prefix, _, login = login.rpartition("\\")
            domain = domain or prefix
        contributing: dict[str, Any] = {}
        if account_type in _ACCOUNT_TYPES:
            contributing["account_type"] = account_type
        elif domain:
            contributing["account_type"] = "windows-domain"
        user_id = uid or (f"{domain}\\{login}" if domain and login else None)
        if user_id:
            contributing["user_id"] = user_id
        if login:
            contributing["account_login"] = login
        if not (user_id or login):
            return None
        rest: dict[str, Any] = {}
        if display_name is not None:
            rest["display_name"] = display_name
        if privileged is not None:
            rest["is_privileged"] = privileged
        if service is not None:
            rest["is_service_account"] = service
        ref = self._put("user-account", contributing, rest)
        name = (login or user_id or "").lower()
        self.mark(role, ref, EntityKind.ACCOUNT, name, uid=user_id, domain=domain, login=login)
        return ref

    def traffic(  # noqa: PLR0913  # a connection has this many properties
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        source_port: int | None = None,
        destination_port: int | None = None,
        protocols: Sequence[str | None] = (),
        start: datetime | None = None,
        bytes_out: int | None = None,
        bytes_in: int | None = None,
        method: str | None = None,
        target: str | None = None,
        user_agent: str | None = None,
    ) -> str | None:
        """A connection; without both ports there is none (validator code 301), only its addresses.

        ``method`` and ``target`` are those of the HTTP request that it carried.
        """
        # ``address_id`` names an address that the mapping may not have made.
        source = source if source in self.scos else None
        destination = destination if destination in self.scos else None
        if not (source or destination) or not _is_port(source_port) or not _is_port(destination_port):
            return None
        names = [_layer(source, destination), *(values.protocol(text) for text in protocols if text)]
        given: dict[str, Any] = {}
        if source:
            given["src_ref"] = source
        if destination:
            given["dst_ref"] = destination
        given["src_port"] = source_port
        given["dst_port"] = destination_port
        given["protocols"] = list(dict.fromkeys(name for name in names if name))
        if start is not None:
            given["start"] = values.clock_text(start)
        if method and target:
            request: dict[str, Any] = {"request_method": method.lower(), "request_value": target}
            if user_agent:
                request["request_header"] = {"User-Agent": [user_agent]}
            given["extensions"] = {"http-request-ext": request}
        counts: dict[str, int] = {}
        if bytes_out is not None and bytes_out >= 0:
            counts["src_byte_count"] = bytes_out
        if bytes_in is not None and bytes_in >= 0:
            counts["dst_byte_count"] = bytes_in
        return self._put("network-traffic", given, counts)


def _is_port(number: int | None) -> bool:
    return number is not None and 0 <= number <= 65535


def _layer(source: str | None, destination: str | None) -> str:
    return "ipv6" if any(ref and ref.startswith("ipv6") for ref in (source, destination)) else "ipv4"

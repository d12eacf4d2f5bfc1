"""Identities of an LDAP directory: who an account is, whether it is mighty, by its groups and the groups of those.

The server's certificate is always verified, a name is escaped before it becomes a filter (RFC 4515, section 3), and
groups are read in pages (RFC 2696). Groups are followed upwards by their own member attribute, which every directory
has; one that is followed too far is an error, because half of an answer would say *not privileged*.
"""

import asyncio
import re
import ssl
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from nightdesk.autonomy.privilege import mighty_group
from nightdesk.autonomy.protected import is_service_account
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.context import Context
from nightdesk.sdk.enrichment import Fact, IdentityFact
from nightdesk.sdk.errors import AuthError, ConfigError, Problem, RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.manifest import Audience

__all__ = ["Directory", "make"]

_NAME = "LDAP"
_FEW = 10  # entries of one name that are still told apart
_MEMBERS_ASKED = 20  # names in one question for groups
_MIGHTY_PRIMARY = frozenset({"498", "512", "516", "518", "519", "521"})
"""Primary groups by their number, which stand in no list of members ([MS-ADTS] 3.1.1.4.5.17)."""


def make(context: Context) -> "Directory":
    """The directory of a configuration. Raises ConfigError, also when the extra is not installed."""
    return Directory(context, _library())


def _library() -> ModuleType:
    try:
        with warnings.catch_warnings():
            # It uses names that pyasn1 has deprecated, at import and only there.
            warnings.simplefilter("ignore", DeprecationWarning)
            import ldap3  # noqa: PLC0415  # an extra
            import ldap3.utils.conv  # noqa: PLC0415  # the same
            import ldap3.utils.dn  # noqa: PLC0415  # the same
    except ImportError as error:
        text = "the kind ldap needs the extra: pip install 'nightdesk[ldap]'"
        raise ConfigError([Problem("enrichment", "ldap", text)]) from error
    module: ModuleType = ldap3
    return module


class Directory:
    """One directory. Its library blocks, so each question runs in a thread, with a connection of its own."""

    kinds = frozenset({EntityKind.ACCOUNT, EntityKind.EMAIL})
    audience: Audience = "none"

    def __init__(self, context: Context, library: ModuleType) -> None:
        self._ldap: Any = library
        self._settings = context.settings
        self._base = context.settings.text("base")
        self._timeout = context.settings.integer("timeout", 10)
        self._privileged = _listed(context.settings.text("privileged_groups"))
        self._vips = _listed(context.settings.text("vip_groups"))
        address = context.settings.text("server")
        scheme, _, host = address.partition("://")
        if scheme not in {"ldaps", "ldap"} or not host:
            raise ConfigError([Problem("enrichment", "server", f"{address!r}: write ldaps://HOST or ldap://HOST")])
        self._start_tls = scheme == "ldap"
        tls = _verifying(library, context.settings.text("ca_file"))
        self._server = self._ldap.Server(
            address, use_ssl=scheme == "ldaps", tls=tls, connect_timeout=self._timeout, get_info=self._ldap.NONE
        )

    async def aclose(self) -> None:
        """Nothing stays open between questions."""

    async def look_up(self, entity: Entity) -> Sequence[Fact]:
        """The accounts of that name; several are all told."""
        return await asyncio.to_thread(self._look_up, entity)

    def _look_up(self, entity: Entity) -> Sequence[Fact]:
        errors = self._ldap.core.exceptions
        try:
            connection = self._connection()
            try:
                found = self._search(connection, self._base, self._filter(entity), self._wanted(), most=_FEW)
                return [self._fact(connection, entry) for entry in found]
            finally:
                self._close(connection)
        except (
            errors.LDAPBindError,
            errors.LDAPInvalidCredentialsResult,
            errors.LDAPUnwillingToPerformResult,
        ) as error:
            raise AuthError(f"the directory refuses the account: {error}", vendor=_NAME, operation="bind") from error
        except (errors.LDAPCommunicationError, errors.LDAPResponseTimeoutError, OSError) as error:
            raise UnavailableError(str(error), vendor=_NAME, operation="look up") from error
        except errors.LDAPOperationResult as error:
            raise ResponseError(str(error), vendor=_NAME, operation="look up") from error
        except errors.LDAPException as error:
            raise UnavailableError(str(error), vendor=_NAME, operation="look up") from error

    def _connection(self) -> Any:
        connection = self._ldap.Connection(
            self._server,
            user=self._settings.text("bind_dn"),
            password=self._settings.secret("password").reveal(),
            authentication=self._ldap.SIMPLE,
            read_only=True,
            auto_referrals=False,
            raise_exceptions=True,
            receive_timeout=self._timeout,
        )
        try:
            connection.open()
            if self._start_tls:
                connection.start_tls()  # raises where the server cannot: a password never goes in clear
            connection.bind()
        except (self._ldap.core.exceptions.LDAPException, OSError):
            self._close(connection)
            raise
        return connection

    def _close(self, connection: Any) -> None:
        """Ends the connection, also one that never came about: the library leaves its socket open then."""
        held = connection.socket
        with suppress(self._ldap.core.exceptions.LDAPException, OSError):
            connection.unbind()
        if held is not None:
            held.close()

    def _filter(self, entity: Entity) -> str:
        """Who is meant, as an LDAP filter; what the name holds is data in it, never syntax."""
        escape = self._ldap.utils.conv.escape_filter_chars
        name = entity.value.rpartition("\\")[2]
        texts = {name, name.partition("@")[0], entity.facts.get("login", "").rpartition("\\")[2]} - {""}
        terms = [
            f"({attribute}={escape(text)})"
            for attribute in _comma(self._settings.text("names"))
            for text in sorted(texts)
        ]
        if "@" in name:
            terms.append(f"({self._settings.text('mail')}={escape(name)})")
        kinds = [self._settings.text("user_class"), *_comma(self._settings.text("service_classes"))]
        classes = "".join(f"(objectClass={escape(kind)})" for kind in dict.fromkeys(kinds))
        return f"(&(|{classes})(|{''.join(terms)}))"

    def _wanted(self) -> list[str]:
        settings = self._settings
        named = [settings.text(name) for name in ("mail", "department", "owner")]
        disabled = settings.text("disabled").replace("=", ":").partition(":")[0]
        wanted = [*_comma(settings.text("names")), *named, disabled, "objectClass", "primaryGroupID"]
        return [name for name in dict.fromkeys(wanted) if name]

    def _search(
        self, connection: Any, base: str, query: str, attributes: Sequence[str], *, most: int
    ) -> list[Mapping[str, Any]]:
        """Every entry, page by page. Raises RejectedError for more than ``most``: a part of an answer is none."""
        found: list[Mapping[str, Any]] = []
        entries = connection.extend.standard.paged_search(
            base,
            query,
            search_scope=self._ldap.SUBTREE,
            attributes=list(attributes),
            paged_size=max(1, self._settings.integer("page_size", 200)),
            time_limit=self._timeout,
            generator=True,
        )
        for entry in entries:
            if entry.get("type") != "searchResEntry":
                continue  # a referral: nobody is asked whom nobody configured
            if len(found) >= most:
                raise RejectedError(f"more than {most} entries for {query}", vendor=_NAME, operation="search")
            found.append(entry)
        return found

    def _fact(self, connection: Any, entry: Mapping[str, Any]) -> IdentityFact:
        given = {str(name).lower(): _texts(values) for name, values in entry["attributes"].items()}
        settings, place = self._settings, self._folded(entry["dn"])
        groups = self._groups(connection, entry["dn"])
        names = tuple(_first_part(group) for group in groups)
        folded = {self._folded(group) for group in groups}
        name = next((text for key in _comma(settings.text("names")) for text in given.get(key.lower(), ())), "")
        primary = set(given.get("primarygroupid", ()))
        classes = {text.lower() for text in given.get("objectclass", ())}
        below = self._folded(settings.text("service_base"))
        kinds = {text.lower() for text in _comma(settings.text("service_classes"))}
        service = bool(classes & kinds) or (bool(below) and place.endswith(f",{below}")) or is_service_account(name)
        wanted = {self._folded(group) for group in self._privileged}
        return IdentityFact(
            name=name or entry["dn"],
            privileged=bool(folded & wanted) or bool(primary & _MIGHTY_PRIMARY) or bool(mighty_group(names)),
            vip=bool(folded & {self._folded(group) for group in self._vips}) if self._vips else None,
            enabled=_enabled(settings.text("disabled"), given),
            service=service,
            department=next(iter(given.get(settings.text("department").lower(), ())), ""),
            owner=_first_part(next(iter(given.get(settings.text("owner").lower(), ())), "")),
            groups=names,
        )

    def _groups(self, connection: Any, member: str) -> list[str]:
        """Every group that has it as a member, or has such a group as one, by their own lists; loops end by themselves.

        Raises RejectedError for more than ``max_groups``.
        """
        escape = self._ldap.utils.conv.escape_filter_chars
        most = max(1, self._settings.integer("max_groups", 500))
        base = self._settings.text("group_base") or self._base
        attribute = self._settings.text("group_member")
        found: dict[str, str] = {}
        ahead = [member]
        while ahead:
            part, ahead = ahead[:_MEMBERS_ASKED], ahead[_MEMBERS_ASKED:]
            query = f"(|{''.join(f'({attribute}={escape(one)})' for one in part)})"
            for entry in self._search(connection, base, query, (), most=most):
                key = self._folded(entry["dn"])
                if key not in found:
                    found[key] = entry["dn"]
                    ahead.append(entry["dn"])
            if len(found) > most:
                raise RejectedError(f"{member} is in more than {most} groups", vendor=_NAME, operation="search")
        return sorted(found.values())

    def _folded(self, name: str) -> str:
        """A DN as it compares: case and the spaces round its separators mean nothing."""
        if not name:
            return ""
        try:
            return str(self._ldap.utils.dn.safe_dn(name)).lower()
        except self._ldap.core.exceptions.LDAPInvalidDnError:
            return name.lower()


def _verifying(library: Any, ca_file: str) -> Any:
    """TLS as Python does it, the host's name included: the library's own check of the name is deprecated."""
    try:
        trusted = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        text = f"{ca_file} cannot be read as certificates: {error}"
        raise ConfigError([Problem("enrichment", "ca_file", text)]) from error

    class Verifying(library.Tls):  # type: ignore[misc]  # the library has no types
        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
            plain = connection.socket
            try:
                connection.socket = trusted.wrap_socket(
                    plain, do_handshake_on_connect=do_handshake, server_hostname=connection.server.host
                )
            except OSError:
                plain.close()
                raise

    return Verifying(validate=ssl.CERT_REQUIRED)


def _enabled(rule: str, given: Mapping[str, Sequence[str]]) -> bool | None:
    """Whether the account may sign in, by ``ATTRIBUTE:BIT`` or ``ATTRIBUTE=VALUE``; None where nothing is said."""
    name, equals, value = rule.partition("=")
    if equals:
        return not any(text.lower() == value.lower() for text in given.get(name.lower(), ()))
    name, _, bit = rule.partition(":")
    numbers = [int(text) for text in given.get(name.lower(), ()) if text.lstrip("-").isdecimal()]
    if not numbers or not bit.isdecimal():
        return None
    return not any(number & int(bit) for number in numbers)


def _texts(values: Any) -> list[str]:
    listed = values if isinstance(values, list | tuple) else [values]
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in listed]


def _first_part(name: str) -> str:
    """The name of what a DN is about: the value of its first part, its escapes undone as far as people need it."""
    first = re.split(r"(?<!\\),", name, maxsplit=1)[0]
    return first.partition("=")[2].replace("\\", "").strip() if "=" in first else first


def _comma(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]

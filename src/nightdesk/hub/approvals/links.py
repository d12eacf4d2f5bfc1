"""Links by which one person answers one asking: signed with the tenant's key, made at the moment they leave the hub.

The journal and the console hold a reference without a signature; only the connector that sends it sees the link. What a
link allows is one vote of one person on one digest, so it is worth nothing once that vote is given.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from nightdesk.autonomy.routing import Route, Router
from nightdesk.hub.config import TenantSettings
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.ports import Acts, Command, Reading, ReadsBack, Receipt
from nightdesk.sdk.targets import Target

__all__ = ["Link", "Links", "Signed"]

_PURPOSE = "approval link"
_MARK = "approval:"
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says."""

    tenant: str
    action_id: str
    digest: str
    person: str
    until: datetime

    @property
    def reference(self) -> str:
        """What is journalled in its place."""
        return f"{_MARK}{self.action_id}:{self.digest}:{int(self.until.timestamp())}:{self.person}"

    @classmethod
    def referred(cls, tenant: str, text: str) -> "Link | None":
        """The link that a reference stands for; None for any other text."""
        parts = text.removeprefix(_MARK).split(":", 3)
        if not text.startswith(_MARK) or len(parts) != 4 or not parts[2].isdecimal():
            return None
        return cls(tenant, parts[0], parts[1], parts[3], datetime.fromtimestamp(int(parts[2]), UTC))


class Links:
    """Makes and reads links; every tenant has a key of its own."""

    def __init__(self, tenants: Mapping[str, TenantSettings]) -> None:
        self._tenants = tenants

    def token(self, link: Link) -> str:
        """The part of the address that carries the link."""
        body = orjson.dumps([link.tenant, link.action_id, link.digest, link.person, int(link.until.timestamp())])
        return f"{_text(body)}.{_text(self._sign(link.tenant, body))}"

    def address(self, link: Link) -> str:
        """The whole address; empty when the tenant has not said where people reach the hub."""
        url = self._tenants[link.tenant].approvals.url
        return f"{url}/v1/approve/{self.token(link)}" if url else ""

    def for_recipient(self, link: Link, instance: str, account: str) -> str:
        """The address, for the one whose link it is. Raises PolicyError for a recipient that is somebody else.

        Whoever may have a message sent could otherwise have another person's link sent to themselves.
        """
        rules = self._tenants[link.tenant].approvals.rules
        holder = rules.holder(instance, account)
        if holder is None or not rules.is_same(holder.name, link.person):
            raise PolicyError(f"{account} at {instance} is not the account of {link.person}: no link is sent there")
        return self.address(link)

    def read(self, token: str) -> Link | None:
        """The link, whether or not it is over; None when nobody here signed it, or its tenant takes none."""
        head, _, tail = token[:_LONGEST].partition(".")
        try:
            body, signature = _bytes(head), _bytes(tail)
            tenant, action_id, digest, person, until = orjson.loads(body)
        except (binascii.Error, ValueError, TypeError):
            return None
        if not isinstance(tenant, str) or tenant not in self._tenants:
            return None
        if not hmac.compare_digest(signature, self._sign(tenant, body)):
            return None
        if not self._tenants[tenant].approvals.by_link:
            return None
        return Link(tenant, action_id, digest, person, datetime.fromtimestamp(until, UTC))

    def _sign(self, tenant: str, body: bytes) -> bytes:
        key = self._tenants[tenant].scope.key.secret(_PURPOSE)
        return hmac.digest(key, b"nightdesk approval link\0" + body, hashlib.sha256)


class Signed:
    """A router whose connectors are given the links themselves for the references in what they are to send."""

    def __init__(self, router: Router, links: Links) -> None:
        self._router = router
        self._links = links

    async def route(self, tenant: str, verb: str, target: Target, source_instance: str | None) -> Route:
        """See ``Router.route``."""
        return self._with_links(await self._router.route(tenant, verb, target, source_instance), verb)

    async def route_to(self, tenant: str, instance: str, verb: str, target: Target, native_id: str) -> Route:
        """See ``Router.route_to``."""
        return self._with_links(await self._router.route_to(tenant, instance, verb, target, native_id), verb)

    def _with_links(self, route: Route, verb: str) -> Route:
        return replace(route, port=_Sender(route, self._links)) if verb == "approval.request" else route


class _Sender:
    """A connector that asks people."""

    def __init__(self, route: Route, links: Links) -> None:
        self._port = route.port
        self._instance = route.instance
        self._links = links

    async def act(self, command: Command) -> Receipt:
        if not isinstance(self._port, Acts):
            raise UnsupportedError(f"{command.verb} is declared, but the connector does not act")
        return await self._port.act(self._complete(command))

    async def read_back(self, command: Command) -> Reading:
        if not isinstance(self._port, ReadsBack):
            raise UnsupportedError(f"{command.verb} is declared with a read-back, but there is none")
        return await self._port.read_back(self._complete(command))

    def _complete(self, command: Command) -> Command:
        link = Link.referred(command.tenant, str(command.parameters.get("link") or ""))
        if link is None:
            return command
        address = self._links.for_recipient(link, self._instance, command.target.value)
        return replace(command, parameters={**command.parameters, "link": address})


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

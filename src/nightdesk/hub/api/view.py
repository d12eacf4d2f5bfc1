"""What the HTTP layer needs of the running hub, and nothing more: it decides nothing and starts nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nightdesk.autonomy.switches import Switch
from nightdesk.hub.approvals.desk import Desk
from nightdesk.hub.notices import Notices
from nightdesk.hub.playbooks.service import Playbooks
from nightdesk.hub.store import Store
from nightdesk.sdk.context import Clock

if TYPE_CHECKING:
    from nightdesk.autonomy.engine import Engine
    from nightdesk.hub.openc2.consumer import Consumer
    from nightdesk.hub.oversight.office import Office

__all__ = ["HubView", "Principal", "Receiver", "Role"]


class Role(StrEnum):
    """What a credential may do; ``service`` delivers alerts, reads metrics and proposes, the others see the console."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    APPROVER = "approver"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, for which tenant. ``instance`` binds a delivering token to one connector instance.

    A path that names no instance (the event collector's) takes it from there; a bound token may use no other.
    """

    tenant: str
    name: str
    role: Role
    instance: str = ""


class Receiver(NamedTuple):
    """Where a push to an instance goes. ``connector`` may lack ``Receives``: then the body is cut as plain JSON."""

    connector: object
    stream: str
    product: str


class HubView(Protocol):
    """The running hub as the HTTP layer sees it."""

    @property
    def store(self) -> Store:
        """Where pushes are stored and pages are read from."""
        ...

    @property
    def clock(self) -> Clock:
        """The present in UTC."""
        ...

    @property
    def approvals(self) -> Desk:
        """Where people's answers to what waits for them arrive."""
        ...

    @property
    def engine(self) -> "Engine":
        """Who takes back and keeps what is in force."""
        ...

    @property
    def playbooks(self) -> Playbooks:
        """The runs of every tenant."""
        ...

    @property
    def notices(self) -> Notices:
        """What people must hear of though nothing failed."""
        ...

    @property
    def openc2(self) -> "Consumer":
        """Who takes OpenC2 commands."""
        ...

    @property
    def oversight(self) -> "Office":
        """Where people judge, raise and withdraw."""
        ...

    def receiver(self, tenant: str, instance: str) -> tuple[object, str, str] | None:
        """``Receiver`` of that tenant's instance; None when the tenant has no such instance."""
        ...

    def authenticate(self, token: str) -> Principal | None:
        """Who holds this token now; None for an unknown, expired or revoked one."""
        ...

    def principal(self, tenant: str, name: str) -> Principal | None:
        """The principal of that name as of now, so that a revoked one loses its console session at once."""
        ...

    def missing(self, switch: Switch) -> str:
        """Why nothing configured could be stopped by that switch; empty when something can."""
        ...

    def health(self) -> Mapping[str, Any]:
        """``{"feeds": [{"tenant", "instance", "stream", "ok", "problem", "last_page_at"}]}``, every tenant's."""
        ...

    def wake(self) -> None:
        """Called from any thread after a page was stored, so that it is normalised at once."""
        ...

"""The shape of the configuration file: every key with its default; ``config`` reads it and checks the rest."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nightdesk.hub.adviser.settings import AdviserConfig
from nightdesk.hub.approvals.settings import ApprovalsConfig
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.change_windows import MaintenanceConfig, WindowConfig
from nightdesk.hub.enrichment.config import EnrichmentConfig
from nightdesk.hub.learning.settings import LearningConfig
from nightdesk.hub.openc2.limits import OpenC2Config
from nightdesk.hub.routes import RouteConfig
from nightdesk.hub.witness_config import WitnessConfig
from nightdesk.sdk.manifest import Audience

__all__ = ["HubConfig", "InstanceConfig", "Role", "TenantConfig"]

Role = Literal["viewer", "analyst", "approver", "admin", "service"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpConfig(_Strict):
    """Where the hub listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8600


class NetworkConfig(_Strict):
    """How vendors are reached."""

    proxy: str | None = None
    ca_file: str | None = None
    timeout: Annotated[float, Field(gt=0)] = 30.0


class InstanceConfig(_Strict):
    """One account at one vendor; or a part of another tenant's account (``shared: TENANT/CONNECTOR``)."""

    vendor: str = ""
    shared: str = ""
    settings: dict[str, Any] = {}
    pulls: list[str] | None = None
    poll_seconds: Annotated[float, Field(gt=0)] = 10.0
    silent_after_seconds: Annotated[float, Field(ge=0)] = 86400.0
    routes: list[RouteConfig] = []
    management_peers: list[str] = []
    shares: Audience | None = None


class TokenConfig(_Strict):
    """One credential of the hub's own API."""

    role: Role
    secret: str
    instance: str = ""


class TenantConfig(_Strict):
    """One tenant."""

    name: str
    key: str
    tlp: str = "amber+strict"
    policy: str | None = None
    signers: dict[str, str] = {}
    quiet_seconds: Annotated[float, Field(ge=0)] = 300.0
    window_seconds: Annotated[float, Field(gt=0)] = 14400.0
    lease_seconds: dict[str, Annotated[float, Field(gt=0)]] = {}
    connectors: dict[str, InstanceConfig] = {}
    roles: dict[str, str] = {}
    tokens: dict[str, TokenConfig] = {}
    assets: str | None = None
    limits: dict[str, float] = {}
    approvals: ApprovalsConfig = ApprovalsConfig()
    witness: WitnessConfig = WitnessConfig()
    pap: Literal["clear", "green", "amber", "red"] = "clear"
    change_windows: list[WindowConfig] = []
    maintenance: list[MaintenanceConfig] = []
    enrichment: EnrichmentConfig = EnrichmentConfig()
    adviser: AdviserConfig | None = None


class HubConfig(_Strict):
    """The file."""

    store: str = "sqlite:///nightdesk.db"
    http: HttpConfig = HttpConfig()
    network: NetworkConfig = NetworkConfig()
    playbooks: str | None = None
    shared: str | None = None
    brakes: BrakeBounds = BrakeBounds()
    openc2: OpenC2Config = OpenC2Config()
    learning: LearningConfig = LearningConfig()
    tenants: Annotated[dict[str, TenantConfig], Field(min_length=1)]

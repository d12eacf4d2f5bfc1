"""People are told what became of a policy: as a notice, and where they are asked to approve."""

from collections.abc import Mapping

import structlog

from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.proposals import Approval
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.notices import Notices
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Telling"]

_OURS = "hub"
_log = structlog.get_logger(__name__)


class Telling:
    """Tells a tenant's people; a message that cannot be journalled leaves the notice and the audit."""

    def __init__(self, tenants: Mapping[str, TenantSettings], notices: Notices, engine: Engine) -> None:
        self._tenants = tenants
        self._notices = notices
        self._engine = engine

    def __call__(self, tenant: str, about: str, text: str) -> None:
        """``about`` names what happened once; the same again is the same message."""
        self._notices.tell(tenant, "rollout", about, text)
        settings = self._tenants.get(tenant)
        for ask in settings.approvals.asks if settings is not None else ():
            try:
                self._engine.propose(
                    tenant,
                    "notify.send",
                    Target(TargetKind.PERSON, ask.to),
                    requested_by=_OURS,
                    approval=Approval.POLICY,
                    decision_id=f"{about}.{ask.connector}",
                    parameters={"title": "A policy was stopped", "text": text},
                    reason="people are told",
                    source_instance=ask.connector,
                )
            except NightdeskError as error:
                _log.warning("nobody was told", tenant=tenant, connector=ask.connector, problem=str(error))

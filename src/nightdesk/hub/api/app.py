"""Puts the HTTP side of the hub together; ``nightdesk run`` serves what this makes."""

import secrets

from fastapi import FastAPI

from nightdesk import __version__
from nightdesk.hub.api import (
    approvals,
    health,
    hec,
    ingest,
    leases,
    metrics,
    openc2,
    oversight,
    playbooks,
    problems,
    regroup,
    switches,
)
from nightdesk.hub.api.auth import Sessions
from nightdesk.hub.api.view import HubView
from nightdesk.hub.console import approving, views

__all__ = ["create_app"]


def create_app(hub: HubView, *, session_key: bytes | None = None, open_metrics: bool = False) -> FastAPI:
    """The application over this hub.

    ``session_key`` signs console cookies: give the same to every process behind one address; without one it is random
    and people sign in again after a restart. ``open_metrics`` shows every tenant's numbers to whoever can reach
    ``/metrics``: only for a listener that nobody but the operator reaches.
    """
    app = FastAPI(
        title="nightdesk",
        version=__version__,
        summary="Alerts in, cases decided, actions verified.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # the stock pages load scripts from elsewhere; the console works air-gapped
        redoc_url=None,
    )
    problems.install(app)
    app.include_router(ingest.router(hub))
    app.include_router(hec.router(hub))
    app.include_router(openc2.router(hub))
    app.include_router(health.router(hub))
    app.include_router(switches.router(hub))
    app.include_router(regroup.router(hub))
    app.include_router(oversight.router(hub))
    app.include_router(playbooks.router(hub))
    app.include_router(leases.router(hub))
    app.include_router(metrics.router(hub, open_to_all=open_metrics))
    app.include_router(approvals.router(hub))
    sessions = Sessions(session_key or secrets.token_bytes(32))
    app.include_router(approving.router(hub, sessions))
    app.include_router(views.router(hub, sessions))
    app.mount("/console/static", views.static_files())
    return app

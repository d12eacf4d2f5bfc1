"""Whether the hub lives and can work: to anybody only that, to a tenant's credential its own feeds by name."""

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from nightdesk.hub.api.auth import require, token_of
from nightdesk.hub.api.view import HubView, Role

__all__ = ["router"]


def router(hub: HubView) -> APIRouter:
    """``GET /healthz``: 200 while it can take alerts, 503 when the store cannot be reached."""
    routes = APIRouter()

    @routes.get("/healthz", summary="Liveness and readiness; with a bearer token also the tenant's feeds and notices")
    async def healthz(request: Request) -> Response:
        tenant = require(request, hub, tuple(Role)).tenant if token_of(request, "Bearer") else None
        reachable = await run_in_threadpool(_reachable, hub)
        feeds = list(hub.health().get("feeds", ()))
        state = Counter("ok" if feed.get("ok") else "failing" for feed in feeds)
        status = "unavailable" if not reachable else "degraded" if state["failing"] else "ok"
        body: dict[str, Any] = {"status": status, "store": "reachable" if reachable else "unreachable"}
        if tenant is None:
            body["feeds"] = {"ok": state["ok"], "failing": state["failing"]}
        else:
            body["feeds"] = jsonable_encoder([feed for feed in feeds if feed.get("tenant") == tenant])
            notices = hub.health().get("notices", ())
            body["notices"] = jsonable_encoder([one for one in notices if one.get("tenant") == tenant])
        return JSONResponse(body, status_code=200 if reachable else 503, headers={"Cache-Control": "no-store"})

    return routes


def _reachable(hub: HubView) -> bool:
    try:
        with hub.store.read() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError:
        return False
    return True

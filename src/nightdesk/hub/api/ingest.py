"""Pushed alerts: what a sender posts is stored in one transaction before it is answered, readable or not (law 1)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from nightdesk.hub.api.auth import DELIVERS, require
from nightdesk.hub.api.bodies import Body, read_body
from nightdesk.hub.api.cutting import cut, whole_body_failure
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Principal, Receiver
from nightdesk.hub.store.intake import PageStored, store_page
from nightdesk.sdk.errors import AuthError, MappingError
from nightdesk.sdk.ports import Receives
from nightdesk.sdk.records import Batch

__all__ = ["BusyError", "find_receiver", "router", "take_in"]

_SHOWN = 10
_PACKING = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class BusyError(ProblemError):
    """The store cannot be written now: nothing was stored and the sender should send the same again."""

    def __init__(self, where: str) -> None:
        super().__init__(
            503,
            "store-busy",
            "the store cannot be written now; nothing of this request was stored",
            where=where,
            what_to_do="send the same request again after the time in Retry-After",
            headers={"Retry-After": "5"},
        )


def router(hub: HubView) -> APIRouter:
    """``POST /v1/ingest/{connector}``."""
    routes = APIRouter()

    @routes.post("/v1/ingest/{connector}", summary="Deliver alerts to one connector instance of the token's tenant")
    async def ingest(request: Request, connector: Annotated[str, Path(max_length=200)]) -> dict[str, Any]:
        caller = require(request, hub, DELIVERS)
        receiver = find_receiver(hub, caller, connector)
        body = await read_body(request)
        if not body.data.strip():
            raise ProblemError(
                400,
                "empty-body",
                "the body is empty",
                where="body",
                what_to_do="send one JSON object, an array of objects, or one object a line",
            )
        try:
            stored, batch = await run_in_threadpool(
                take_in, hub, caller.tenant, connector, receiver, request.headers, body
            )
        except AuthError as error:
            raise ProblemError(
                401,
                "unauthenticated",
                str(error),
                where=f"connector {connector!r} of tenant {caller.tenant!r}",
                what_to_do="sign the request as the connector's manual says; nothing of it was stored",
            ) from error
        answer: dict[str, Any] = {
            "received": stored.received,
            "duplicate": stored.duplicate,
            "quarantined": stored.quarantined,
            "waiting": stored.waiting,
        }
        if batch.failures:
            answer["problems"] = [
                {"where": failure.pointer or "/", "detail": str(failure.error)} for failure in batch.failures[:_SHOWN]
            ]
        return answer

    return routes


def find_receiver(hub: HubView, caller: Principal, instance: str) -> Receiver:
    """Where this caller's pushes to the instance go. Raises a 403 for a token bound elsewhere, a 404 without one."""
    where = f"connector {instance!r} of tenant {caller.tenant!r}"
    if caller.instance and caller.instance != instance:
        raise ProblemError(
            403,
            "forbidden",
            f"the token of {caller.name} is bound to another connector instance",
            where=where,
            what_to_do="use the token of this instance, or send to the instance of this token",
        )
    found = hub.receiver(caller.tenant, instance)
    if found is None:
        raise ProblemError(
            404,
            "no-such-connector",
            "the tenant has no connector instance of this name that takes pushed alerts",
            where=where,
            what_to_do="check the name in the path against the tenant's configuration",
        )
    return Receiver(*found)


def take_in(
    hub: HubView, tenant: str, instance: str, receiver: Receiver, headers: Mapping[str, str], body: Body
) -> tuple[PageStored, Batch]:
    """Cuts the body and stores what came of it; returns once it is committed. Blocks: call it in a thread.

    Raises AuthError when the connector itself refuses the sender, BusyError when the store cannot be written.
    """
    batch = _batch(receiver, instance, headers, body)

    def work(connection: Connection) -> PageStored:
        return store_page(
            connection,
            tenant=tenant,
            instance=instance,
            stream=receiver.stream,
            product=receiver.product,
            batch=batch,
            received_at=hub.clock(),
        )

    try:
        stored = hub.store.transact(work)
    except OperationalError as error:
        raise BusyError(f"connector {instance!r} of tenant {tenant!r}") from error
    hub.wake()
    return stored, batch


def _batch(receiver: Receiver, instance: str, headers: Mapping[str, str], body: Body) -> Batch:
    if body.torn_at is not None:
        return whole_body_failure(body.data, source=instance, reason="the gzip stream is damaged", offset=body.torn_at)
    if not isinstance(receiver.connector, Receives):
        return cut(body.data, source=instance, product=receiver.product)
    # The body is unpacked already, so the headers that describe its packing are no longer true.
    kept = {name: value for name, value in headers.items() if name.lower() not in _PACKING}
    try:
        return receiver.connector.receive(receiver.stream, kept, body.data)
    except MappingError as error:
        offset = error.pointer.removeprefix("@")
        return whole_body_failure(
            body.data, source=instance, reason=error.reason, offset=int(offset) if offset.isdigit() else 0
        )

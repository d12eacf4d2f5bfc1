"""The hub's numbers for Prometheus, each with its tenant; a credential shows its own tenant's and no other's."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from nightdesk.hub.api.auth import require
from nightdesk.hub.api.view import HubView, Role
from nightdesk.hub.store.ledger import ledger
from nightdesk.hub.store.queries import totals
from nightdesk.hub.store.schema import decision

__all__ = ["router"]

_MAY_READ = frozenset({Role.SERVICE, Role.ANALYST, Role.APPROVER, Role.ADMIN})
_STREAM = ("tenant", "instance", "stream")


class _Outcomes:
    """Decisions by outcome. Each reading counts only those made since the one before, by their chain's number."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: dict[str, int] = {}
        self._counts: dict[str, Counter[str]] = {}

    def read(self, connection: Connection, tenant: str) -> Mapping[str, int]:
        columns = decision.c
        with self._guard:
            since = self._seen.get(tenant, 0)
            counts = self._counts.setdefault(tenant, Counter())
            statement = (
                select(columns.outcome, func.count(), func.max(columns.seq))
                .where(columns.tenant == tenant, columns.seq > since)
                .group_by(columns.outcome)
            )
            for outcome, number, newest in connection.execute(statement):
                counts[outcome] += number
                self._seen[tenant] = max(self._seen.get(tenant, 0), newest)
            return dict(counts)


class _Numbers(Collector):
    """One reading of the store, for one tenant or for all."""

    def __init__(self, hub: HubView, outcomes: _Outcomes, tenant: str | None) -> None:
        self._hub = hub
        self._outcomes = outcomes
        self._tenant = tenant

    def collect(self) -> Iterator[Metric]:
        with self._hub.store.read() as connection:
            balance = ledger(connection, self._tenant)
            counts = {
                tenant: found
                for tenant, found in totals(connection).items()
                if self._tenant is None or tenant == self._tenant
            }
            decided = {tenant: self._outcomes.read(connection, tenant) for tenant in counts}
        streams = [((row.tenant, row.instance, row.stream), row) for row in balance]
        yield _counter(
            "nightdesk_records_received",
            "Records that came in.",
            _STREAM,
            ((key, row.received) for key, row in streams),
        )
        yield _counter(
            "nightdesk_records_duplicate",
            "Records that had come in before.",
            _STREAM,
            ((key, row.duplicate) for key, row in streams),
        )
        yield _gauge(
            "nightdesk_records",
            "Records by what became of them: received = duplicate + the sum of these.",
            (*_STREAM, "state"),
            (
                ((*key, state), getattr(row, state))
                for key, row in streams
                for state in ("normalised", "quarantined", "waiting")
            ),
        )
        yield _gauge(
            "nightdesk_ledger_balanced",
            "1 while everything that came in is accounted for.",
            _STREAM,
            ((key, int(row.balanced)) for key, row in streams),
        )
        yield from self._decided(counts, decided)
        yield _gauge(
            "nightdesk_feed_up",
            "1 while the feed's newest run succeeded.",
            _STREAM,
            (
                ((feed["tenant"], feed["instance"], feed["stream"]), int(bool(feed["ok"])))
                for feed in self._hub.health().get("feeds", ())
                if self._tenant is None or feed["tenant"] == self._tenant
            ),
        )

        yield from self._enriched(self._hub.health().get("enrichment", {}))

    def _enriched(self, told: Mapping[str, Any]) -> Iterator[Metric]:
        answers, sources = (
            [one for one in told.get(word, ()) if self._tenant in {None, one["tenant"]}]
            for word in ("answers", "sources")
        )
        labels = ("tenant", "source")
        yield _counter(
            "nightdesk_enrichment_answers",
            "Answers of sources since the start, by what became of the question.",
            (*labels, "status"),
            (((one["tenant"], one["source"], one["status"]), one["number"]) for one in answers),
        )
        yield _gauge(
            "nightdesk_enrichment_out",
            "Questions that are out, or wait for their turn.",
            labels,
            (((one["tenant"], one["source"]), one["out"]) for one in sources),
        )
        yield _gauge(
            "nightdesk_enrichment_left_alone",
            "1 while a source is not asked because it fails.",
            labels,
            (((one["tenant"], one["source"]), int(one["left_alone"])) for one in sources),
        )

    @staticmethod
    def _decided(counts: Mapping[str, Any], decided: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
        yield _gauge(
            "nightdesk_cases",
            "Cases by status.",
            ("tenant", "status"),
            (((tenant, status), number) for tenant, found in counts.items() for status, number in found.cases.items()),
        )
        yield _gauge(
            "nightdesk_actions",
            "Actions that are not over, by state.",
            ("tenant", "state"),
            (((tenant, state), number) for tenant, found in counts.items() for state, number in found.actions.items()),
        )
        yield _counter(
            "nightdesk_decisions",
            "Recorded decisions by outcome.",
            ("tenant", "outcome"),
            (((tenant, outcome), number) for tenant, found in decided.items() for outcome, number in found.items()),
        )


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def router(hub: HubView, *, open_to_all: bool) -> APIRouter:
    """``GET /metrics``."""
    routes = APIRouter()
    outcomes = _Outcomes()

    @routes.get("/metrics", summary="Numbers for Prometheus, of the token's tenant")
    async def metrics(request: Request) -> Response:
        tenant = None if open_to_all else require(request, hub, _MAY_READ).tenant
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        registry = CollectorRegistry(auto_describe=False)

        def scrape() -> bytes:
            registry.register(_Numbers(hub, outcomes, tenant))
            return encode(registry)

        return Response(await run_in_threadpool(scrape), media_type=media_type)

    return routes

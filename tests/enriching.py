"""A hub whose cases are enriched by a plugin's source that a test speaks for; the rest of it is real."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.hubs import a_story_alert, bind, pullers
from tests.stores import prepared

from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store, queries
from nightdesk.hub.store.decisions import decisions
from nightdesk.sdk.case import Decision, Entity
from nightdesk.sdk.context import Context
from nightdesk.sdk.enrichment import ASKABLE, EnricherSpec, Fact
from nightdesk.sdk.hookspecs import hookimpl
from nightdesk.sdk.manifest import Audience, Setting
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = ["CLOSES", "VENDOR", "Oracle", "an_alert_of", "decided", "enriched", "oracle", "plugin_registry", "worked"]

VENDOR = pullers()[0]
CLOSES = b"""
policy_id: p
version: 1
rules:
  - {id: noise, owner: jane, expires: 2099-12-31, when: {rule_id: "11044"},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""
"""Closes the story's alert at once; the number is what the simulated product calls that detection."""
_Said = Sequence[Fact] | BaseException | Callable[[Entity], Sequence[Fact]]


@dataclass
class Oracle:
    """An enricher that says what a test has it say, by entity, else by ``everything``; and keeps what it was asked."""

    kinds = ASKABLE
    audience: Audience = "none"
    says: dict[str, _Said] = field(default_factory=dict)
    everything: _Said = ()
    asked: list[str] = field(default_factory=list)
    closed: bool = False
    gate: asyncio.Event | None = None

    async def look_up(self, entity: Entity) -> Sequence[Fact]:
        self.asked.append(entity.key)
        if self.gate is not None:
            await self.gate.wait()
        said = self.says.get(entity.key, self.everything)
        if isinstance(said, BaseException):
            raise said
        return said(entity) if callable(said) else said

    async def aclose(self) -> None:
        self.closed = True


_ORACLES: dict[tuple[str, str], Oracle] = {}


def oracle(tenant: str, source: str) -> Oracle:
    """The one behind that source of that tenant."""
    return _ORACLES.setdefault((tenant, source), Oracle())


def make(context: Context) -> Oracle:
    """What the plugin's specification names."""
    made = oracle(context.tenant, context.instance)
    made.audience = context.settings.text("audience", "none")  # type: ignore[assignment]  # one of its choices
    return made


class _Plugin:
    @hookimpl
    def nightdesk_enrichers(self) -> list[EnricherSpec]:
        choices = ("none", "vendor", "community", "public")
        setting = Setting(type="text", help="who learns of it", default="none", choices=choices)
        return [EnricherSpec("oracle", "tests.enriching:make", {"audience": setting})]


def plugin_registry() -> Registry:
    """The bundled vendors, and the plugin."""
    return Registry.load(strangers=False, extra={"oracle": _Plugin()})


@contextmanager
def enriched(
    folder: Path,
    sources: Mapping[str, Mapping[str, Any]],
    time: FakeTime,
    *,
    tenants: Sequence[str] = ("acme",),
    policy: bytes = CLOSES,
    simulator: Simulator | None = None,
    signers: tuple[str, ...] = ("jane", "omar"),
    bound: Mapping[str, tuple[Simulator, str]] | None = None,
    wait: float = 10.0,
    **more: Any,
) -> Iterator[tuple[Hub, Simulator]]:
    """A hub of these tenants over one served simulator, in a time that the test moves.

    A page waits for every answer; a test whose source is silent says ``wait=0``.
    """
    _ORACLES.clear()
    made = simulator or Registry.load(strangers=False).simulator(VENDOR)(clock=time.clock)
    registry = plugin_registry()
    enrichment = {"wait_seconds": wait, "sources": dict(sources), **more.pop("enrichment", {})}
    with serve(made) as served:
        read = [
            load_config(
                bind(
                    folder / slug, slug, {"main": (made, served.base_url), **(bound or {})}, policy=policy,
                    signers=signers, enrichment=enrichment, **more,
                ),
                registry,
            )
            for slug in tenants
        ]  # fmt: skip
        settings = replace(read[0], tenants={slug: one for found in read for slug, one in found.tenants.items()})
        store = Store.open(prepared(settings.store), clock=time.clock, synchronous="NORMAL")
        try:
            yield Hub(settings, registry, store, clock=time.clock, sleep=time.sleep), made
        finally:
            store.close()


def an_alert_of(simulator: Simulator, time: FakeTime, uid: str = "alert-1", number: int = 0, **changes: Any) -> None:
    """Has the simulator raise an alert that the policy closes."""
    simulator.add(replace(a_story_alert(uid, time.clock(), number, **changes), severity="low"))


def worked(hub: Hub, *, settled: bool = True) -> None:
    """Everything that there is to do now; not ``settled``: without waiting for what is out."""

    async def go() -> None:
        if settled:
            await hub.once()
        else:
            hub.enrichments.attach()
            await asyncio.gather(*(feed.once() for feed in hub.feeds))
            await asyncio.to_thread(hub.pipeline.step)
        await hub.bindings.aclose()

    asyncio.run(go())


def decided(hub: Hub, tenant: str = "acme") -> list[Decision]:
    """Every decision of that tenant's only case, oldest first."""
    with hub.store.read() as conn:
        (row,) = queries.case_list(conn, tenant, limit=10)
        return decisions(conn, tenant, row.case_id)

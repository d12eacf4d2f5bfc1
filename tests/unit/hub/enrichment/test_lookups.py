"""How sources are asked: one question of a kind at a time, so many at once, so long, and not while they fail."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.enriching import Oracle
from tests.stores import prepared

from nightdesk.hub.enrichment.breaker import Breaker
from nightdesk.hub.enrichment.config import OtherConfig
from nightdesk.hub.enrichment.lookups import Lookups
from nightdesk.hub.enrichment.settings import SourceSettings
from nightdesk.hub.enrichment.sources import Source
from nightdesk.hub.store import Store
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.case import Entity
from nightdesk.sdk.enrichment import ASKABLE, AllowFact, AssetFact, Enrichment, EnrichmentStatus, IntelFact
from nightdesk.sdk.errors import AuthError, NotFoundError, RateLimitError, RejectedError, UnavailableError
from nightdesk.sdk.testing.cases import an_entity
from nightdesk.sdk.testing.fake_time import FakeTime

HOSTS = [an_entity(f"host:ws-{number}") for number in range(12)]


class Desk:
    """Lookups over an open store, and one source that a test speaks for."""

    def __init__(self, store: Store, time: FakeTime) -> None:
        self.store = store
        self.time = time
        self.oracle = Oracle()
        self.landed: list[tuple[str, Enrichment]] = []
        self.lookups = Lookups(
            store, clock=time.clock, sleep=time.sleep, landed=lambda tenant, one: self.landed.append((tenant, one))
        )

    def source(self, **config: Any) -> Source:
        given = OtherConfig(kind="oracle", **{"attempts": 1, **config})
        return Source(SourceSettings("cmdb", given, Path()), ASKABLE, enricher=self.oracle)

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        async def go() -> None:
            self.lookups.attach(asyncio.get_running_loop())
            await work()
            await self.lookups.settle()

        asyncio.run(go())

    def asked(self, *entities: Entity, tenant: str = "acme", source: Source | None = None) -> list[Enrichment]:
        """Asks all of them at once; the answers in order."""
        found: list[Enrichment] = []

        async def work() -> None:
            out = [self.lookups.ask(tenant, source or self.source(), one) for one in entities]
            found.extend(await asyncio.gather(*(asyncio.wrap_future(one) for one in out if one is not None)))

        self.run(work)
        return found

    def stored(self, entity: Entity, tenant: str = "acme") -> Mapping[str, Any]:
        with self.store.read() as conn:
            return rows.kept(conn, tenant, "cmdb", [entity.key])[entity.key].body


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    time = FakeTime()
    store = Store.open(prepared(f"sqlite:///{tmp_path}/nightdesk.db"), clock=time.clock)
    yield Desk(store, time)
    store.close()


def test_an_answer_and_its_absence_are_kept_each_for_its_own_time(desk: Desk) -> None:
    desk.oracle.says[HOSTS[0].key] = (AssetFact("high"),)
    source = desk.source(ttl_seconds=600, negative_ttl_seconds=60)
    known, unknown = desk.asked(HOSTS[0], HOSTS[1], source=source)
    assert (known.status, known.ttl, known.source) == (EnrichmentStatus.OK, 600, "cmdb")
    assert (unknown.status, unknown.ttl) == (EnrichmentStatus.NOTHING, 60)
    assert desk.stored(HOSTS[0])["facts"][0]["criticality"] == "high"
    assert desk.stored(HOSTS[1])["status"] == "nothing-known"
    assert [one for _, one in desk.landed] == [known, unknown]


def test_the_same_question_is_out_once(desk: Desk) -> None:
    async def work() -> None:
        desk.oracle.gate = asyncio.Event()
        source = desk.source()
        first = desk.lookups.ask("acme", source, HOSTS[0])
        assert first is not None
        assert desk.lookups.ask("acme", source, HOSTS[0]) is first
        assert desk.lookups.ask("umbrella", source, HOSTS[0]) is not first
        assert desk.lookups.flying("acme", "cmdb") == 1
        desk.oracle.gate.set()

    desk.run(work)
    assert desk.oracle.asked == [HOSTS[0].key] * 2


def test_so_many_are_out_at_once_and_no_more(desk: Desk) -> None:
    out, most = 0, 0

    class Counting(Oracle):
        async def look_up(self, entity: Entity) -> tuple[()]:
            nonlocal out, most
            out += 1
            most = max(most, out)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            out -= 1
            return ()

    desk.oracle = Counting()
    assert len(desk.asked(*HOSTS, source=desk.source(concurrency=3))) == len(HOSTS)
    assert most == 3


def test_a_source_that_hangs_is_given_up_and_told(desk: Desk) -> None:
    async def work() -> None:
        desk.oracle.gate = asyncio.Event()
        future = desk.lookups.ask("acme", desk.source(timeout_seconds=0.01), HOSTS[0])
        assert future is not None
        answer = await asyncio.wrap_future(future)
        assert answer.status is EnrichmentStatus.TIMEOUT
        assert "0.01 s" in answer.reason

    desk.run(work)


@pytest.mark.parametrize(
    ("error", "tries"), [(UnavailableError("x"), 3), (TimeoutError(), 3), (RejectedError("x"), 1), (AuthError("x"), 1)]
)
def test_only_what_may_pass_is_tried_again(desk: Desk, error: Exception, tries: int) -> None:
    desk.oracle.everything = error
    desk.asked(HOSTS[0], source=desk.source(attempts=3))
    assert len(desk.oracle.asked) == tries


def test_what_is_not_found_is_nothing_known(desk: Desk) -> None:
    desk.oracle.everything = NotFoundError("no such host")
    assert desk.asked(HOSTS[0])[0].status is EnrichmentStatus.NOTHING


def test_a_source_that_fails_again_and_again_is_left_alone_and_then_tried_by_one_question(desk: Desk) -> None:
    desk.oracle.everything = UnavailableError("down")
    source = desk.source(concurrency=1)
    answers = desk.asked(*HOSTS, source=source)
    assert len(desk.oracle.asked) == 5
    assert {one.status for one in answers} == {EnrichmentStatus.ERROR}
    assert "left alone" in answers[-1].reason
    assert desk.lookups.broken("acme", "cmdb")
    assert not desk.lookups.broken("umbrella", "cmdb"), "of one tenant alone"
    desk.time.advance(31)
    desk.asked(*HOSTS, source=source)
    assert len(desk.oracle.asked) == 6
    desk.time.advance(61)
    desk.oracle.everything = ()
    assert {one.status for one in desk.asked(*HOSTS, source=source)} == {EnrichmentStatus.NOTHING}
    assert not desk.lookups.broken("acme", "cmdb")


def test_a_refused_question_says_nothing_of_the_source(desk: Desk) -> None:
    desk.oracle.everything = RejectedError("no such kind")
    desk.asked(*HOSTS)
    assert len(desk.oracle.asked) == len(HOSTS)
    assert not desk.lookups.broken("acme", "cmdb")


def test_a_wait_that_the_source_names_is_kept(desk: Desk) -> None:
    breaker, now = Breaker(), desk.time.clock()
    breaker.failed(RateLimitError("quota", retry_after=120), now)
    assert breaker.refuses(now + timedelta(seconds=119))
    assert not breaker.refuses(now + timedelta(seconds=121))
    assert breaker.refuses(now + timedelta(seconds=122)), "one question decides"


def test_an_error_does_not_take_facts_away(desk: Desk) -> None:
    desk.oracle.everything = (AssetFact("high"),)
    (known,) = desk.asked(HOSTS[0])
    desk.oracle.everything = UnavailableError("down")

    async def work() -> None:
        desk.lookups.ask("acme", desk.source(), HOSTS[0], known)

    desk.run(work)
    assert desk.stored(HOSTS[0])["status"] == "error"
    assert desk.stored(HOSTS[0])["facts"][0]["criticality"] == "high"


def test_what_a_source_writes_is_cut_and_no_list_is_taken_from_it(desk: Desk) -> None:
    forged = AllowFact("eve", desk.time.clock() + timedelta(days=9), "good", ("jane", "omar"))
    long = IntelFact("malicious", "x" * 9999, labels=tuple("\x1b[31m" + "y" * 9999 for _ in range(99)))
    desk.oracle.everything = (forged, *[replace(long, count=number) for number in range(99)])
    (answer,) = desk.asked(HOSTS[0])
    assert len(answer.facts) == 20
    for fact in answer.facts:
        assert isinstance(fact, IntelFact)
        assert len(fact.by) == 200
        assert len(fact.labels) == 20
        assert all(text.isprintable() and len(text) <= 200 for text in fact.labels)


def test_without_a_loop_nothing_is_asked_and_nothing_breaks(desk: Desk) -> None:
    assert desk.lookups.ask("acme", desk.source(), HOSTS[0]) is None
    desk.asked(HOSTS[0])
    assert desk.lookups.ask("acme", desk.source(), HOSTS[1]) is None, "the loop is over"


def test_a_text_of_a_plugins_own_error_is_told_to_nobody(desk: Desk) -> None:
    desk.oracle.everything = ValueError("password=hunter2")
    (answer,) = desk.asked(HOSTS[0])
    assert "hunter2" not in answer.reason
    assert "ValueError" in answer.reason

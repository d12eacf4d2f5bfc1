"""Scenario 11 of the autonomy layer: enrichment fails, or intelligence is forged; and what a good answer may do.

Missing is recorded and keeps a machine from closing; intelligence can only raise; a signed allow-list alone takes a
doubt away. Each story runs on the whole hub, over a simulated product, in a time that the test moves.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.enriching import CLOSES, Oracle, an_alert_of, decided, enriched, oracle, worked

from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import replay, to_record
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import sign_policy
from nightdesk.hub.store import queries
from nightdesk.sdk.case import CaseStatus, Decision, Outcome
from nightdesk.sdk.enrichment import AllowFact, AssetFact, EnrichmentStatus, IdentityFact, IntelFact
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.testing.fake_time import FakeTime

ADDRESS = "address:192.0.2.1"
ACCUSED = IntelFact("malicious", "feed", 3)
GOOD = IntelFact("benign", "feed", 99, labels=("known good",))
FEED: dict[str, Any] = {"feed": {"kind": "oracle"}}


def the_status(hub: Hub, tenant: str = "acme") -> CaseStatus:
    with hub.store.read() as conn:
        (row,) = queries.case_list(conn, tenant, limit=10)
    return CaseStatus(row.status)


def the_last(hub: Hub) -> Decision:
    return decided(hub)[-1]


def told(decision: Decision) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decision.inputs["context"].get("enrichment", [])
    return found


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def test_11_with_every_answer_there_and_nothing_bad_a_signed_rule_closes(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, FEED, time) as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        assert the_last(hub).outcome is Outcome.CLOSE
        assert {one["status"] for one in told(the_last(hub))} == {"nothing-known"}
        assert ADDRESS in {one["entity"] for one in told(the_last(hub))}


class TestScenario11Outage:
    """A source that is required does not answer."""

    @pytest.mark.parametrize(
        ("failure", "status"),
        [(UnavailableError("down"), "error"), (TimeoutError(), "timeout"), (ValueError("a bug"), "error")],
    )
    def test_11_an_outage_is_recorded_as_missing_and_a_person_looks(
        self, tmp_path: Path, time: FakeTime, failure: Exception, status: str
    ) -> None:
        with enriched(tmp_path, FEED, time) as (hub, simulator):
            oracle("acme", "feed").everything = failure
            an_alert_of(simulator, time)
            worked(hub)
            last = the_last(hub)
            assert (last.outcome, last.reason_code) == (Outcome.ESCALATE, "abstain-enrichment")
            assert f"feed {ADDRESS}: {status}" in last.inputs["context"]["missing"]
            assert all(one["facts"] == [] for one in told(last)), "nothing is guessed"


def test_11_an_outage_of_a_source_that_is_not_required_is_recorded_and_holds_nothing_up(
    tmp_path: Path, time: FakeTime
) -> None:
    with enriched(tmp_path, {"feed": {"kind": "oracle", "required": False}}, time) as (hub, simulator):
        oracle("acme", "feed").everything = UnavailableError("down")
        an_alert_of(simulator, time)
        worked(hub)
        assert the_last(hub).outcome is Outcome.CLOSE
        assert {one["status"] for one in told(the_last(hub))} == {"error"}


def test_11_a_page_is_decided_while_a_source_is_silent_and_the_case_again_when_it_answers(
    tmp_path: Path, time: FakeTime
) -> None:
    with enriched(tmp_path, FEED, time, wait=0) as (hub, simulator):
        an_alert_of(simulator, time)
        silent = oracle("acme", "feed")

        async def go() -> None:
            silent.gate = asyncio.Event()
            hub.enrichments.attach()
            await asyncio.gather(*(feed.once() for feed in hub.feeds))
            await asyncio.to_thread(hub.pipeline.step)
            first = the_last(hub)
            assert (first.outcome, first.reason_code) == (Outcome.HOLD, "waiting-for-enrichment")
            assert first.hold_until == time.clock() + timedelta(seconds=300)
            await asyncio.to_thread(hub.pipeline.tick)
            assert len(decided(hub)) == 1, "nothing new is nothing to record"
            silent.gate.set()
            await hub.enrichments.settle()
            await asyncio.to_thread(hub.pipeline.tick)
            await hub.bindings.aclose()

        asyncio.run(go())
        first, last = decided(hub)
        assert last.outcome is Outcome.CLOSE
        assert last.supersedes == first.decision_id


def test_11_escalating_waits_for_no_source(tmp_path: Path, time: FakeTime) -> None:
    raising = CLOSES.replace(b"close: {verdict: benign-positive, at_once: true}", b"escalate: {}").replace(
        b"expires: 2099-12-31, ", b""
    )
    with enriched(tmp_path, FEED, time, wait=0, policy=raising) as (hub, simulator):
        an_alert_of(simulator, time)
        silent = oracle("acme", "feed")

        async def go() -> None:
            silent.gate = asyncio.Event()
            hub.enrichments.attach()
            await asyncio.gather(*(feed.once() for feed in hub.feeds))
            await asyncio.to_thread(hub.pipeline.step)
            assert the_last(hub).outcome is Outcome.ESCALATE
            silent.gate.set()
            await hub.enrichments.settle()
            await asyncio.to_thread(hub.pipeline.tick)
            await hub.bindings.aclose()

        asyncio.run(go())
        assert {one.outcome for one in decided(hub)} == {Outcome.ESCALATE}
        assert the_status(hub) is CaseStatus.ESCALATED


def test_11_a_source_that_never_answers_gives_the_case_to_a_person_once_patience_is_over(
    tmp_path: Path, time: FakeTime
) -> None:
    with enriched(tmp_path, FEED, time, wait=0) as (hub, simulator):
        an_alert_of(simulator, time)
        silent = oracle("acme", "feed")

        async def go() -> None:
            silent.gate = asyncio.Event()
            hub.enrichments.attach()
            await asyncio.gather(*(feed.once() for feed in hub.feeds))
            await asyncio.to_thread(hub.pipeline.step)
            time.advance(301)
            await asyncio.to_thread(hub.pipeline.tick)
            silent.gate.set()
            await hub.enrichments.settle()
            await hub.bindings.aclose()

        asyncio.run(go())
        assert [one.outcome for one in decided(hub)] == [Outcome.HOLD, Outcome.ESCALATE]
        assert the_last(hub).reason_code == "abstain-enrichment"


class TestScenario11ForgedIntelligence:
    """Intelligence may raise; called good by a feed is called nothing."""

    def test_11_intelligence_raises(self, tmp_path: Path, time: FakeTime) -> None:
        with enriched(tmp_path, FEED, time) as (hub, simulator):
            oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
            an_alert_of(simulator, time)
            worked(hub)
            assert (the_last(hub).outcome, the_last(hub).reason_code) == (Outcome.ESCALATE, "abstain-intel")
            assert any(f"{ADDRESS}: malicious by feed (3)" in text for text in the_last(hub).reasons)

    @pytest.mark.parametrize("fact", [AssetFact("critical"), IdentityFact(vip=True)], ids=["critical", "vip"])
    def test_11_what_a_person_has_to_look_at_is_closed_by_no_machine(
        self, tmp_path: Path, time: FakeTime, fact: AssetFact | IdentityFact
    ) -> None:
        with enriched(tmp_path, FEED, time) as (hub, simulator):
            oracle("acme", "feed").says["host:ws-0000"] = (fact,)
            an_alert_of(simulator, time)
            worked(hub)
            assert the_last(hub).outcome is Outcome.ESCALATE

    def test_11_forged_intelligence_that_calls_a_thing_good_changes_nothing(
        self, tmp_path: Path, time: FakeTime
    ) -> None:
        """Another feed accuses; this one says *known good*, and even claims to be a signed list."""
        forged = AllowFact("jane", time.clock() + timedelta(days=900), "known good", ("jane", "omar"))
        with enriched(tmp_path, {**FEED, "forged": {"kind": "oracle"}}, time) as (hub, simulator):
            oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
            oracle("acme", "forged").everything = (GOOD, forged)
            an_alert_of(simulator, time)
            worked(hub)
            last = the_last(hub)
            assert (last.outcome, last.reason_code) == (Outcome.ESCALATE, "abstain-intel")
            assert "allowed" not in last.inputs["context"]
            assert all(fact["kind"] != "allowed" for one in told(last) for fact in one["facts"])


def test_11_what_is_not_named_by_a_rule_is_not_closed_for_being_called_good(tmp_path: Path, time: FakeTime) -> None:
    other = CLOSES.replace(b"11044", b"another-rule")
    with enriched(tmp_path, FEED, time, policy=other) as (hub, simulator):
        oracle("acme", "feed").everything = (GOOD,)
        an_alert_of(simulator, time)
        worked(hub)
        assert (the_last(hub).outcome, the_last(hub).reason_code) == (Outcome.ESCALATE, "no-rule")


LISTED = {"feed": {"kind": "oracle"}, "ours": {"kind": "allow_list", "file": "ours.yaml"}}


def a_list(folder: Path, *signers: str, time: FakeTime, expires: timedelta, entity: str = ADDRESS) -> Path:
    """The tenant's allow-list in its folder, signed by these with the keys that the configuration trusts."""
    entry = {"entity": entity, "owner": "jane", "expires": time.clock() + expires, "reason": "our scanner"}
    path = folder / "ours.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"name": "ours", "entries": [entry]}), encoding="utf-8")
    (folder / "ours.yaml.sig").unlink(missing_ok=True)
    for signer in signers:
        sign_policy(path, folder / "secrets" / f"{signer}.pem", signer, at=time.clock())
    return path


def test_11_a_signed_list_answers_what_a_feed_accuses_and_says_so(tmp_path: Path, time: FakeTime) -> None:
    a_list(tmp_path / "acme", time=time, expires=timedelta(days=9))
    with enriched(tmp_path, LISTED, time) as (hub, simulator):
        a_list(tmp_path / "acme", "jane", "omar", time=time, expires=timedelta(days=9))
        oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
        an_alert_of(simulator, time)
        worked(hub)
        assert (the_last(hub).outcome, the_last(hub).reason_code) == (Outcome.CLOSE, "allow-list")
        assert the_last(hub).inputs["context"]["allowed"][ADDRESS][0]["signers"] == ["jane", "omar"]


@pytest.mark.parametrize("case", ["one signer", "expired", "changed after signing", "another thing"])
def test_11_a_list_that_is_not_wholly_in_order_counts_for_nothing(tmp_path: Path, time: FakeTime, case: str) -> None:
    a_list(tmp_path / "acme", time=time, expires=timedelta(days=9))
    with enriched(tmp_path, LISTED, time) as (hub, simulator):
        signers = ("jane",) if case == "one signer" else ("jane", "omar")
        days = timedelta(days=-1 if case == "expired" else 9)
        entity = "address:192.0.2.9" if case == "another thing" else ADDRESS
        path = a_list(tmp_path / "acme", *signers, time=time, expires=days, entity=entity)
        if case == "changed after signing":
            path.write_text(path.read_text(encoding="utf-8").replace("our scanner", "anything"), encoding="utf-8")
        oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
        an_alert_of(simulator, time)
        worked(hub)
        assert (the_last(hub).outcome, the_last(hub).reason_code) == (Outcome.ESCALATE, "abstain-intel")
        problems = hub.enrichments.problems("acme").get("ours", ())
        assert bool(problems) == (case != "another thing")


def test_11_an_expired_entry_is_told_in_the_decision_and_as_a_notice(tmp_path: Path, time: FakeTime) -> None:
    a_list(tmp_path / "acme", time=time, expires=timedelta(days=9))
    with enriched(tmp_path, LISTED, time) as (hub, simulator):
        a_list(tmp_path / "acme", "jane", "omar", time=time, expires=timedelta(days=-1))
        an_alert_of(simulator, time)
        worked(hub)
        (check,) = [one for one in the_last(hub).checks if one.name == "allow-list-current"]
        assert not check.passed
        assert f"{ADDRESS} of jane" in check.value
        hub.watch()
        assert any("expired" in one.text and one.about == "ours" for one in hub.notices.standing("acme"))


def test_11_and_law_11_what_was_known_replays_bit_for_bit(tmp_path: Path, time: FakeTime) -> None:
    a_list(tmp_path / "acme", time=time, expires=timedelta(days=9))
    with enriched(tmp_path, {**LISTED, "other": {"kind": "oracle", "required": False}}, time) as (hub, simulator):
        a_list(tmp_path / "acme", "jane", "omar", time=time, expires=timedelta(days=9))
        oracle("acme", "feed").says |= {
            ADDRESS: (ACCUSED, IntelFact("suspicious", "b", newest=time.clock(), confidence=40, tlp="amber")),
            "host:ws-0000": (AssetFact("high", "ops", "workstation", ("lab",)),),
            "account:user0000": (IdentityFact("user0000", privileged=True, groups=("Domain Admins",)),),
        }
        oracle("acme", "other").everything = TimeoutError()
        an_alert_of(simulator, time)
        worked(hub)
        made = the_last(hub)
        with hub.store.read() as conn:
            (row,) = queries.case_list(conn, "acme", limit=10)
            page = queries.case_page(conn, "acme", row.case_id)
        assert page is not None
        policy = hub.settings.tenants["acme"].policy
        assert isinstance(policy, SignedPolicy)
        again = replay(to_record(made), page.case, policy)
        assert to_record(again) == to_record(made)
        kinds = {fact["kind"] for one in told(made) for fact in one["facts"]}
        assert kinds == {"intel", "asset", "identity", "allowed"}
        assert {one["status"] for one in told(made)} >= {"ok", "nothing-known", "timeout"}


def test_a_tenant_without_sources_decides_as_ever(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, {}, time) as (hub, simulator):
        an_alert_of(simulator, time)
        worked(hub)
        (made,) = decided(hub)
        assert made.outcome is Outcome.CLOSE
        later = {"enrichment", "allowed", "pending", "pending_until"}
        assert not later & set(made.inputs["context"])
        assert "criticality" not in made.inputs["context"]["limits"]
        names = {one.name for one in made.checks}
        assert not names & {"intel", "criticality", "vip", "prior-verdicts", "enrichment-pending"}
        assert parse_policy(CLOSES, file="p").sha256 == made.policy_sha256


def test_8_an_answer_whose_time_is_over_is_stale_and_no_answer(tmp_path: Path, time: FakeTime) -> None:
    """Guardrail 8: the facts are shown with their age, still raise, and let nothing be closed."""
    sources = {"feed": {"kind": "oracle", "ttl_seconds": 60}}
    with enriched(tmp_path, sources, time) as (hub, simulator):
        feed = oracle("acme", "feed")
        feed.everything = (GOOD,)
        an_alert_of(simulator, time)
        worked(hub)
        assert the_last(hub).outcome is Outcome.CLOSE
        time.advance(120)
        feed.everything = UnavailableError("down")
        an_alert_of(simulator, time, "alert-2")
        worked(hub)
        last = the_last(hub)
        assert last.outcome is Outcome.REOPEN
        (answer,) = [one for one in told(last) if one["entity"] == ADDRESS]
        assert (answer["status"], len(answer["facts"])) == (EnrichmentStatus.STALE, 1)
        assert f"feed {ADDRESS}: stale" in last.inputs["context"]["missing"]


def test_3_nobody_gets_what_another_tenant_was_told(tmp_path: Path, time: FakeTime) -> None:
    """Law 3: the same alert at two tenants; each asks its own source, and reads its own answers."""
    with enriched(tmp_path, FEED, time, tenants=("acme", "umbrella")) as (hub, simulator):
        oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
        an_alert_of(simulator, time)
        worked(hub)
        assert decided(hub, "acme")[-1].reason_code == "abstain-intel"
        assert decided(hub, "umbrella")[-1].outcome is Outcome.CLOSE
        assert sorted(oracle("acme", "feed").asked) == sorted(oracle("umbrella", "feed").asked)
        assert "malicious" not in str(told(decided(hub, "umbrella")[-1]))
        with hub.store.read() as conn:
            sources = list(hub.enrichments.sources["umbrella"].values())
            theirs = hub.enrichments.lookups.cached(conn, "umbrella", sources, [ADDRESS])
        assert theirs["feed", ADDRESS].facts == ()
        hub.enrichments.lookups._recent.clear()
        with hub.store.read() as conn:
            theirs = hub.enrichments.lookups.cached(conn, "umbrella", sources, [ADDRESS])
        assert theirs["feed", ADDRESS].facts == ()


def test_what_was_answered_is_asked_once_and_outlives_the_process(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, FEED, time) as (hub, simulator):
        feed: Oracle = oracle("acme", "feed")
        an_alert_of(simulator, time)
        worked(hub)
        once = sorted(feed.asked)
        assert len(once) == len(set(once))
        hub.enrichments.lookups._recent.clear()
        an_alert_of(simulator, time, "alert-2")
        worked(hub)
        assert sorted(feed.asked) == once
        time.advance(901)
        an_alert_of(simulator, time, "alert-3")
        worked(hub)
        assert sorted(feed.asked) == sorted([*once, *once]), "what is not known is asked again when its time is over"


def test_11_what_was_closed_before_a_source_answered_is_opened_again_when_it_accuses(
    tmp_path: Path, time: FakeTime
) -> None:
    with enriched(tmp_path, {"feed": {"kind": "oracle", "required": False}}, time, wait=0) as (hub, simulator):
        oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
        an_alert_of(simulator, time)
        late = oracle("acme", "feed")

        async def go() -> None:
            late.gate = asyncio.Event()
            hub.enrichments.attach()
            await asyncio.gather(*(feed.once() for feed in hub.feeds))
            await asyncio.to_thread(hub.pipeline.step)
            assert the_last(hub).outcome is Outcome.CLOSE
            late.gate.set()
            await hub.enrichments.settle()
            await asyncio.to_thread(hub.pipeline.tick)
            await hub.bindings.aclose()

        asyncio.run(go())
        assert (the_last(hub).outcome, the_last(hub).reason_code) == (Outcome.REOPEN, "abstain-intel")
        assert the_status(hub) is CaseStatus.ESCALATED


def test_a_page_waits_for_quick_answers_so_that_one_decision_is_enough(tmp_path: Path, time: FakeTime) -> None:
    with enriched(tmp_path, FEED, time) as (hub, simulator):
        oracle("acme", "feed").says[ADDRESS] = (ACCUSED,)
        an_alert_of(simulator, time)
        worked(hub)
        (only,) = decided(hub)
        assert only.reason_code == "abstain-intel"
        assert "pending" not in {one["status"] for one in told(only)}


def test_late_answers_do_not_make_the_wait_for_quiet_longer(tmp_path: Path, time: FakeTime) -> None:
    patient = CLOSES.replace(b", at_once: true", b"")
    with enriched(tmp_path, FEED, time, wait=0, policy=patient, quiet_seconds=300) as (hub, simulator):
        an_alert_of(simulator, time)
        late = oracle("acme", "feed")

        async def go() -> None:
            late.gate = asyncio.Event()
            hub.enrichments.attach()
            await asyncio.gather(*(feed.once() for feed in hub.feeds))
            await asyncio.to_thread(hub.pipeline.step)
            began = time.clock()
            assert the_last(hub).hold_until == began + timedelta(seconds=300)
            time.advance(100)
            late.gate.set()
            await hub.enrichments.settle()
            await asyncio.to_thread(hub.pipeline.tick)
            assert the_last(hub).hold_until == began + timedelta(seconds=300)
            time.advance(200)
            await asyncio.to_thread(hub.pipeline.tick)
            await hub.bindings.aclose()

        asyncio.run(go())
        assert [one.outcome for one in decided(hub)] == [Outcome.HOLD, Outcome.CLOSE]

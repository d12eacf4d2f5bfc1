"""Laws 3, 4, 7, 10 and 11 for autonomy that is earned: whose evidence, what a crash leaves, caution, grants, replay."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hubs import REGISTRY, a_story_alert, bind, opened
from tests.oversight import RULE, Site, earned_site

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.levels.gate import EARNED, RECORDED, Asked, Certificate, GateInputs, Say, ask, caution
from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import Unit, rule_keys
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.record import replay, to_record
from nightdesk.hub.hub import Hub
from nightdesk.hub.oversight.appraisal import look
from nightdesk.hub.oversight.judging import judge
from nightdesk.hub.oversight.raising import withdraw
from nightdesk.hub.store import cases, decisions, levels, queries
from nightdesk.sdk.case import CaseStatus, Check, Decision, Outcome
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

CLOSING = b"""
policy_id: closing
version: "1"
rules:
  - {id: noise, owner: jane@example.org, when: {rule_name: [UnusualTool, Unusual tool]},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""


@pytest.fixture
def earned(tmp_path: Path) -> Iterator[Site]:
    made = earned_site(tmp_path, tenants=("acme", "b", "c"))
    yield made
    made.close()


class TestLaw3:
    """A tenant's evidence, labels, items, canaries and levels are its own; others get counts, and only of three."""

    def test_what_one_tenant_earned_is_nothing_in_another(self, earned: Site) -> None:
        assert earned.case(earned.arrives()).status is CaseStatus.CLOSED
        assert earned.case(earned.arrives(tenant="b"), "b").status is CaseStatus.ESCALATED
        earned.works()
        with earned.store.read() as conn:
            found = look(conn, earned.office, earned.unit(tenant="b"), at=earned.time.clock())
        assert (found.proof.benign, found.proof.prior, found.standing.level) == (0, 0, Level.OFF)

    def test_two_tenants_of_the_same_rule_lend_a_third_a_number_and_an_attack_takes_it_back(self, earned: Site) -> None:
        earned.time.advance(86_400)
        for number in range(30):
            earned.judges(earned.arrives(tenant="b", host=f"b-{number}"), tenant="b")
        earned.arrives(tenant="c")
        earned.works()

        def lent() -> int:
            with earned.store.read() as conn:
                return look(conn, earned.office, earned.unit(tenant="c"), at=earned.time.clock()).proof.prior

        assert lent() == 250
        attack = earned.arrives(tenant="b", host="b-victim")
        earned.judges(attack, "true-positive", by="ann", tenant="b")
        assert lent() == 250  # one person's word is not confirmed
        earned.judges(attack, "true-positive", by="ben", tenant="b")
        assert lent() == 0
        assert "b-victim" not in str(earned.events("c"))

    def test_nobody_judges_raises_or_withdraws_in_another_tenant(self, earned: Site) -> None:
        case_id = earned.arrives(tenant="b")
        before = earned.events("b")
        with pytest.raises(PolicyError, match="belongs to acme"):
            withdraw(earned.office, earned.unit(tenant="b"), Level.OFF, by=earned.person("ada"), reason="r")
        with pytest.raises(PolicyError, match="belongs to acme"):
            judge(earned.office, "b", by=earned.person("ann"), about=case_id, verdict="test")
        with pytest.raises(PolicyError, match="there is no case or item"):
            earned.judges(case_id + "9")
        assert earned.events("b") == before

    def test_a_tenants_cases_are_not_reopened_by_another_ones_withdrawal(self, earned: Site) -> None:
        with earned.store.begin() as conn:
            same = levels.standing(conn, earned.unit())
            theirs = Standing.from_bytes(canonical(same.to_json()).replace(b'"acme"', b'"b"'))
            levels.keep(conn, theirs, at=earned.time.clock())
        ours, other = earned.arrives(), earned.arrives(tenant="b")
        assert earned.case(other, "b").status is CaseStatus.CLOSED
        done = withdraw(earned.office, earned.unit(), Level.OFF, by=earned.person("ann"), reason="odd")
        assert done.reopened == (ours,)
        assert earned.case(other, "b").status is CaseStatus.CLOSED


certificates = st.one_of(
    st.none(),
    st.builds(
        Certificate,
        tau=st.sampled_from([None, 0.1, 0.3]),
        tie=st.just(0),
        n=st.just(299),
        k=st.sampled_from([None, 0]),
        alpha=st.just(0.01),
        delta=st.just(0.05),
    ),
)
asked = st.builds(
    Asked,
    rule=st.sampled_from(["e/r1@1", "e/r2@1", "e/r3@1"]),
    level=st.integers(0, 3),
    score=st.sampled_from([None, 0.0, 0.05, 0.2, 0.9, float("nan")]),
    key=st.just("k"),
    closing=certificates,
    recommending=certificates,
    canaries=st.booleans(),
)
good = st.builds(
    lambda rule, level: Asked(rule, level, 0.05, "k", Certificate(0.3, 0, 299, 0, 0.01, 0.05), canaries=True),
    st.sampled_from(["e/r1@1", "e/r2@1"]),
    st.sampled_from([3, 3, 2]),
)
inputs = st.builds(
    GateInputs,
    st.lists(st.one_of(good, good, asked), max_size=3).map(tuple),
    st.sampled_from([(), (), (), ("unseen-rule",)]),
    st.booleans(),
)
checks = st.lists(st.builds(Check, st.sampled_from(["flood", "caution"]), st.booleans()), max_size=2).map(tuple)
MANY = settings(max_examples=400, deadline=None)


class TestLaw7:
    """Whatever is added to doubt, taken from what is known, or lowered: the gate's answer is no less cautious."""

    def test_the_generated_inputs_reach_every_answer(self) -> None:
        """Without this the properties below could hold because nothing is ever closed."""
        seen: set[Say] = set()

        @given(inputs=inputs, checks=checks)
        @settings(max_examples=500, derandomize=True, database=None, deadline=None)
        def draw(inputs: GateInputs, checks: tuple[Check, ...]) -> None:
            seen.add(ask(inputs, checks).say)

        draw()
        assert seen == set(Say)

    @given(inputs=inputs, checks=checks, extra=asked, data=st.data())
    @MANY
    def test_nothing_that_is_added_or_missing_lowers_caution(
        self, inputs: GateInputs, checks: tuple[Check, ...], extra: Asked, data: st.DataObject
    ) -> None:
        before = caution(ask(inputs, checks).say)
        worse = [
            replace(inputs, rules=(*inputs.rules, extra)) if inputs.rules else inputs,
            replace(inputs, doubts=(*inputs.doubts, "models-disagree")),
            replace(inputs, protected=True),
        ]
        if inputs.rules:
            place = data.draw(st.integers(0, len(inputs.rules) - 1))
            one = inputs.rules[place]
            for changes in (
                {"score": None}, {"score": 0.95}, {"closing": None, "recommending": None}, {"canaries": False},
                {"level": max(0, one.level - 1)}, {"level": 0},
            ):  # fmt: skip
                rules: Any = list(inputs.rules)
                rules[place] = replace(one, **changes)
                worse.append(replace(inputs, rules=tuple(rules)))
        for other in worse:
            assert caution(ask(other, checks).say) >= before
        assert caution(ask(inputs, (*checks, Check("x", False))).say) == caution(Say.ESCALATE)

    @given(inputs=inputs)
    @MANY
    def test_nothing_below_auto_close_or_uncertified_is_ever_closed(self, inputs: GateInputs) -> None:
        if ask(inputs).say is Say.CLOSE:
            assert inputs.rules
            assert not inputs.doubts
            for one in inputs.rules:
                assert one.level >= Level.CLOSE
                assert one.closing is not None
                assert one.score is not None
                assert one.score < (one.closing.tau or 0.0)
                assert one.canaries or not inputs.protected


class TestLaw10:
    """Earned or signed; raised by two, withdrawn by one in one step, and then everything is open again."""

    def test_withdrawing_is_one_step_and_what_was_closed_is_open_when_it_returns(self, earned: Site) -> None:
        closed = [earned.arrives() for _ in range(7)]
        by_hand = earned.arrives(key="other")
        done = withdraw(earned.office, earned.unit(), Level.RECOMMEND, by=earned.person("ann"), reason="odd")
        assert set(done.reopened) == set(closed)
        assert by_hand not in done.reopened
        for case_id in closed:
            assert earned.case(case_id).status is CaseStatus.ESCALATED
            last = earned.decisions(case_id)[-1]
            assert (last.outcome, last.reason_code, last.reviewer) == (
                Outcome.REOPEN, "autonomy-withdrawn", "ann",
            )  # fmt: skip
            assert "odd" in " ".join(last.reasons)
        assert earned.case(earned.arrives()).status is CaseStatus.ESCALATED

    def test_closures_before_the_window_stay_and_those_of_seven_days_do_not(self, earned: Site) -> None:
        old = earned.arrives()
        earned.time.advance(3 * 86_400)
        earned.catches(1)
        earned.time.advance(5 * 86_400)
        recent = earned.arrives()
        earned.works()
        done = withdraw(earned.office, earned.unit(), Level.RECOMMEND, by=earned.person("ann"), reason="odd")
        assert done.reopened == (recent,)
        assert earned.case(old).status is CaseStatus.CLOSED

    def test_without_a_clean_batch_everything_since_the_grant_is_open_again(self, earned: Site) -> None:
        with earned.store.begin() as conn:
            levels.keep(conn, levels.standing(conn, earned.unit()).with_changes(clean_at=None), at=earned.time.clock())
        old = earned.arrives()
        earned.time.advance(20 * 86_400)
        done = withdraw(earned.office, earned.unit(), Level.OFF, by=earned.person("ann"), reason="odd")
        assert done.reopened == (old,)

    def test_after_a_withdrawal_two_persons_are_needed_again(self, earned: Site) -> None:
        withdraw(earned.office, earned.unit(), Level.SHADOW, by=earned.person("ann"), reason="odd")
        earned.time.advance(86_400)
        earned.works()
        assert earned.standing().level is Level.SHADOW
        earned.raises()
        assert earned.standing().level is Level.CLOSE

    def test_confirmed_misses_take_the_level_by_their_weight(self, earned: Site) -> None:
        closed = [earned.arrives(host=f"v-{number}") for number in range(4)]
        for number, case_id in enumerate(closed):
            assert earned.standing().level is Level.CLOSE, number
            earned.judges(case_id, "true-positive", by="ann")
            assert earned.case(case_id).status is CaseStatus.ESCALATED  # one word reopens that one case
            earned.judges(case_id, "true-positive", by="ben")
            if earned.standing().level is not Level.CLOSE:
                break
        assert earned.standing().lost.startswith("evidence")  # 3 x 3 x 3 > 20
        assert number == 2
        assert earned.case(closed[3]).status is CaseStatus.ESCALATED

    def test_one_confirmed_attack_on_a_protected_asset_is_enough(self, earned: Site) -> None:
        closed = earned.arrives(host="dc01")
        assert earned.case(closed).status is CaseStatus.CLOSED
        earned.judges(closed, "true-positive", by="ann")
        assert earned.standing().level is Level.CLOSE
        earned.judges(closed, "true-positive", by="ben")
        assert earned.standing().lost.startswith("protected-asset")


class TestLaw4:
    """The level and its closures stand or fall together, whenever the process dies."""

    @pytest.mark.parametrize("dies_at", range(1, 30))
    def test_killed_anywhere_in_a_withdrawal_nothing_or_all_of_it_is_done(
        self, earned: Site, dies_at: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = [earned.arrives() for _ in range(3)]
        done = _dies(earned, monkeypatch, dies_at)
        earned.restart()
        after = {earned.case(one).status for one in closed}
        assert (earned.standing().level is Level.RECOMMEND) is done
        assert after == ({CaseStatus.ESCALATED} if done else {CaseStatus.CLOSED})
        if not done:
            again = withdraw(earned.office, earned.unit(), Level.RECOMMEND, by=earned.person("ann"), reason="odd")
            assert set(again.reopened) == set(closed)


def _dies(site: Site, monkeypatch: pytest.MonkeyPatch, at: int) -> bool:
    """Withdraws in a process that dies before its n-th statement that writes; True when it got through."""
    from sqlalchemy import event  # of this alone

    class Killed(BaseException):
        """As by kill -9: no handler runs."""

    writes = 0

    def listen(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal writes
        del conn, cursor
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            writes += 1
            if writes == at:
                raise Killed

    engine = site.store._engines.writer  # the seam to die in
    event.listen(engine, "before_cursor_execute", listen)
    try:
        withdraw(site.office, site.unit(), Level.RECOMMEND, by=site.person("ann"), reason="odd")
    except Killed:
        return False
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    return True


class TestLaw11:
    """A case that was given back can be given back again from its record, byte for byte."""

    def test_a_reopening_replays_bit_for_bit(self, earned: Site) -> None:
        case_id = earned.arrives()
        withdraw(earned.office, earned.unit(), Level.RECOMMEND, by=earned.person("ann"), reason="odd \u202e\ud800")
        told = earned.decisions(case_id)[-1]
        record = to_record(told)
        made: Decision = replay(record, earned.case(case_id), Policy.unsigned())
        assert canonical(to_record(made)) == canonical(record)
        with earned.store.read() as conn:
            assert decisions.verify_decisions(conn, "acme") == []

    def test_the_gate_says_the_same_from_its_record(self, earned: Site) -> None:
        told = earned.decisions(earned.arrives())[0]
        recorded = GateInputs.from_json(told.inputs[RECORDED])
        assert ask(recorded).say is Say.CLOSE
        assert canonical(recorded.to_json()) == canonical(told.inputs[RECORDED])


class TestWriteBack:
    """What the vendor was told goes back the way of every undo: at the real simulator, over the real engine."""

    @pytest.fixture
    def closed(self, tmp_path: Path) -> Iterator[tuple[Hub, Any, str, FakeTime]]:
        time = FakeTime()
        simulator = REGISTRY.simulator("crowdstrike_falcon")(clock=time.clock)
        simulator.add(a_story_alert("one-0001", time.clock(), 1))
        people = {name: {"role": role, "secret": "env:PATH"} for name, role in (("ann", "analyst"), ("ada", "admin"))}
        with serve(simulator) as served:
            config = bind(tmp_path, "acme", {"main": (simulator, served.base_url)}, policy=CLOSING, tokens=people)
            with opened(config, time) as hub:
                _works(hub, pull=True)
                with hub.store.read() as conn:
                    (row,) = queries.case_list(conn, "acme", limit=9)
                yield hub, simulator, row.case_id, time

    def test_the_vendors_alert_is_open_again(self, closed: tuple[Hub, Any, str, FakeTime]) -> None:
        hub, simulator, case_id, time = closed
        action = _later(hub, time, ActionState.EFFECTIVE)
        assert _status(simulator) == "closed"
        unit = _as_if_earned(hub, case_id)
        done = withdraw(hub.oversight, unit, Level.OFF, by=_ann(hub), reason="odd")
        assert done.reopened == (case_id,)
        asked_for = hub.journal.get("acme", action.action_id)
        assert asked_for is not None
        assert asked_for.state is ActionState.UNDO_REQUESTED  # in the same transaction; nothing was sent yet
        assert _status(simulator) == "closed"
        _later(hub, time, ActionState.UNDONE)
        assert _status(simulator) == "open"

    def test_what_is_on_its_way_is_owed_and_taken_back_when_it_is_there(
        self, closed: tuple[Hub, Any, str, FakeTime]
    ) -> None:
        hub, simulator, case_id, time = closed
        (action,) = hub.journal.of_case("acme", case_id)
        assert action.state is ActionState.ACCEPTED  # not read back yet, so there is nothing to undo yet
        unit = _as_if_earned(hub, case_id)
        withdraw(hub.oversight, unit, Level.OFF, by=_ann(hub), reason="odd")
        with hub.store.read() as conn:
            assert levels.standing(conn, unit).owed == (action.action_id,)
        _later(hub, time, ActionState.UNDONE)
        assert _status(simulator) == "open"
        with hub.store.read() as conn:
            assert levels.standing(conn, unit).owed == ()


def _later(hub: Hub, time: FakeTime, state: ActionState) -> Action:
    """The one action, once it stands there; time passes as it has to."""
    for _ in range(40):
        (action,) = [one for row in _rows(hub) for one in hub.journal.of_case("acme", row)]
        if action.state is state:
            return action
        time.advance(60)
        _works(hub)
    pytest.fail(f"it is {action.state} for ever")


def _rows(hub: Hub) -> list[str]:
    with hub.store.read() as conn:
        return [row.case_id for row in queries.case_list(conn, "acme", limit=9)]


def _status(simulator: Any) -> str:
    """How the vendor's own alert stands."""
    (native_id,) = simulator.alerts
    return str(simulator.alert_state(native_id)["status"])


def _works(hub: Hub, *, pull: bool = False) -> None:
    async def go() -> None:
        await hub.once(pull=pull)
        await hub.bindings.aclose()

    asyncio.run(go())


def _ann(hub: Hub) -> Any:
    return hub.oversight.principal("acme", "ann")


def _as_if_earned(hub: Hub, case_id: str) -> Unit:
    """The case as one that an earned level closed: the decision that the gate would have made, recorded after."""
    with hub.store.begin() as conn:
        case = cases.case(conn, "acme", case_id)
        assert case is not None
        (rule,) = rule_keys(case.alerts)
        unit = Unit("acme", rule)
        now = hub.clock()
        levels.keep(conn, Standing(unit, Level.CLOSE, first_seen=now, granted_by=("a", "b"), granted_at=now), at=now)
        made = decisions.decisions(conn, "acme", case_id)[-1]
        gate = GateInputs((Asked(rule, 3, 0.05, case_id, Certificate(0.2, 0, 299, 0, 0.01, 0.05)),))
        earned = replace(
            made, decision_id=f"{case_id}-002", reason_code=EARNED, inputs={**made.inputs, RECORDED: gate.to_json()},
            decided_at=now,
        )  # fmt: skip
        decisions.put_decisions(conn, [earned])
    return unit


def test_the_rule_of_these_tests_is_one_that_a_person_could_name() -> None:
    assert Unit.parse("acme", RULE.partition("@")[0]).rule == RULE

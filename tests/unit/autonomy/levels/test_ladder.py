"""What enters a level, keeps it and loses it, move by move; and that nothing raises a unit but evidence and persons."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.levels.ladder import Cause, Loss, advance, bounds, grant, losses, lower, reopens_since, wish
from nightdesk.autonomy.levels.requirements import missing, next_level, requirements
from nightdesk.autonomy.levels.standing import Facts, Level, Proof, Standing
from nightdesk.autonomy.levels.units import DecisionClass, Unit
from nightdesk.sdk.errors import PolicyError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLOSE = Unit("acme", "edr/r1@1")
CONTAIN = Unit("acme", "edr/r1@1", DecisionClass.CONTAIN_HOST)
GOOD = Proof(
    newest=400, judged=400, agreed=400, benign=400, earned=20.0, support=20.0, days=4, entities=9, canaries=59,
    canaries_caught=3,
)  # fmt: skip
SOUND = Facts(healthy_hours=30, certified=True, policy=Level.CONTAIN)
AT_CLOSE = Standing(
    CLOSE, Level.CLOSE, NOW, NOW, ("abe", "ada"), NOW - timedelta(days=2), granted_after=390, proof=GOOD
)
JUDGED = Proof(judged=320, agreed=318, recommended=299, days=4, entities=9)
DRILLED = replace(SOUND, drills=20, verified=1.0, undone=1.0)
AT_CONTAIN = Standing(CONTAIN, Level.CONTAIN, granted_at=NOW - timedelta(days=2), proof=JUDGED)


def lacks(level: Level, proof: Proof, facts: Facts, unit: Unit = CLOSE) -> set[str]:
    return {one.name for one in missing(level, unit.decides, proof, facts)}


@pytest.mark.parametrize(
    ("level", "changes", "what"),
    [
        (Level.SHADOW, {"healthy_hours": 23.9}, "connector healthy"),
        (Level.RECOMMEND, {"judged": 49, "agreed": 49}, "judged blind"),
        (Level.RECOMMEND, {"judged": 50, "agreed": 44}, "agreement"),
        (Level.CLOSE, {"earned": 19.9}, "evidence (e-value)"),
        (Level.CLOSE, {"days": 2}, "distinct days"),
        (Level.CLOSE, {"entities": 2}, "distinct entities"),
        (Level.CLOSE, {"canaries": 58}, "canaries, all rules"),
        (Level.CLOSE, {"canaries": 91, "canaries_missed": 1}, "canaries, all rules"),
        (Level.CLOSE, {"canaries_caught": 0}, "canaries, this rule"),
        (Level.CLOSE, {"canaries_failed": 1}, "canaries, this rule"),
        (Level.CLOSE, {"certified": False}, "threshold certified"),
        (Level.CLOSE, {"alarms": ("psi",)}, "no drift alarm"),
        (Level.CLOSE, {"doubts": ("stale model",)}, "nothing in doubt"),
        (Level.CLOSE, {"policy": Level.RECOMMEND}, "policy allows it"),
    ],
)
def test_each_requirement_is_needed_and_the_rest_is_enough(level: Level, changes: dict[str, Any], what: str) -> None:
    assert lacks(level, GOOD, SOUND) == set()
    proof = replace(GOOD, **{name: value for name, value in changes.items() if hasattr(GOOD, name)})
    facts = replace(SOUND, **{name: value for name, value in changes.items() if hasattr(SOUND, name)})
    assert what in lacks(level, proof, facts)


def test_93_canaries_make_up_for_one_that_was_missed_elsewhere() -> None:
    assert lacks(Level.CLOSE, replace(GOOD, canaries=92, canaries_missed=1), SOUND) == set()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"recommended": 298}, "containments judged"),
        ({"recommended": 472, "rejected": 1}, "containments judged"),
        ({"drills": 19}, "verified drills with undo"),
        ({"verified": 0.98}, "verified"),
        ({"undone": 0.98}, "undone"),
        ({"lied": True}, "vendor's word never contradicted"),
    ],
)
def test_each_requirement_of_containment_is_needed(changes: dict[str, Any], what: str) -> None:
    assert lacks(Level.CONTAIN, JUDGED, DRILLED, CONTAIN) == set()
    assert lacks(Level.CONTAIN, replace(JUDGED, recommended=473, rejected=1), DRILLED, CONTAIN) == set()
    proof = replace(JUDGED, **{name: value for name, value in changes.items() if hasattr(JUDGED, name)})
    facts = replace(DRILLED, **{name: value for name, value in changes.items() if hasattr(DRILLED, name)})
    assert what in lacks(Level.CONTAIN, proof, facts, CONTAIN)


def test_there_is_no_fifth_level_and_containment_has_no_third() -> None:
    assert next_level(Level.CLOSE, DecisionClass.CLOSE) is None
    assert next_level(Level.RECOMMEND, DecisionClass.CONTAIN_HOST) is Level.CONTAIN
    assert next_level(Level.CONTAIN, DecisionClass.CONTAIN_HOST) is None


def test_the_machine_goes_up_to_recommend_and_no_further_by_itself() -> None:
    step = advance(Standing(CLOSE, first_seen=NOW), GOOD, SOUND, NOW)
    assert step.standing.level is Level.RECOMMEND
    assert len(step.reasons) == 2
    assert advance(step.standing, GOOD, SOUND, NOW).standing.level is Level.RECOMMEND


def test_what_a_person_lowered_does_not_come_back_by_itself() -> None:
    held = lower(AT_CLOSE, Loss(Cause.PERSON, Level.SHADOW, "odd"), now=NOW, by="ann").standing
    assert advance(held, GOOD, SOUND, NOW).standing.level is Level.SHADOW
    assert held.proof == GOOD  # nothing was wrong with the evidence


@pytest.mark.parametrize(
    ("changes", "cause", "to"),
    [
        ({"alarms": ("psi",)}, Cause.DRIFT, Level.RECOMMEND),
        ({"protected": 1}, Cause.PROTECTED, Level.RECOMMEND),
        ({"canaries_failed": 1}, Cause.CANARY, Level.RECOMMEND),
        ({"losing": 20.0}, Cause.EVIDENCE, Level.RECOMMEND),
        ({"support": 19.0}, Cause.LABELS, Level.RECOMMEND),
        ({"doubt": 20.0}, Cause.AGREEMENT, Level.SHADOW),
        ({"parser": "2"}, Cause.PARSER, Level.SHADOW),
    ],
)
def test_each_loss_takes_the_level_and_reopens(changes: dict[str, Any], cause: Cause, to: Level) -> None:
    standing = AT_CLOSE.with_changes(parser="1")
    proof = replace(GOOD, **{name: value for name, value in changes.items() if hasattr(GOOD, name)})
    facts = replace(SOUND, parser="1")
    facts = replace(facts, **{name: value for name, value in changes.items() if hasattr(SOUND, name)})
    step = advance(standing, proof, facts, NOW)
    assert step.loss is not None
    assert (step.loss.cause, step.standing.level) == (cause, to)
    assert step.reopen_since == NOW - timedelta(days=7)
    assert step.standing.granted_by == ()
    forgets = cause is not Cause.LABELS
    assert (step.standing.counts_after == proof.newest) is forgets
    assert advance(standing, GOOD, replace(SOUND, parser="1"), NOW).loss is None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [({"lied": True}, Cause.LIE), ({"verified": 0.98}, Cause.VERIFICATION), ({"undone": 0.9}, Cause.VERIFICATION)],
)
def test_a_lie_or_a_bad_verification_takes_containment(changes: dict[str, Any], cause: Cause) -> None:
    assert losses(AT_CONTAIN, JUDGED, DRILLED) == ()
    (loss,) = losses(AT_CONTAIN, JUDGED, replace(DRILLED, **changes))
    assert loss.cause is cause


@pytest.mark.parametrize(
    ("clean", "granted", "since"),
    [
        (None, timedelta(days=30), timedelta(days=30)),
        (timedelta(days=20), timedelta(days=30), timedelta(days=20)),
        (timedelta(hours=1), timedelta(days=30), timedelta(days=7)),
        (None, timedelta(days=1), timedelta(days=7)),
    ],
)
def test_closures_are_looked_at_since_the_last_clean_batch_and_seven_days_at_least(
    clean: timedelta | None, granted: timedelta, since: timedelta
) -> None:
    standing = AT_CLOSE.with_changes(clean_at=None if clean is None else NOW - clean, granted_at=NOW - granted)
    assert reopens_since(standing, NOW) == NOW - since


def test_a_loss_below_acting_reopens_nothing() -> None:
    step = lower(Standing(CLOSE, Level.RECOMMEND), Loss(Cause.PERSON, Level.OFF, "odd"), now=NOW, by="ann")
    assert step.reopen_since is None


def test_a_grant_needs_a_wish_and_everything_that_is_asked_for() -> None:
    ready = Standing(CLOSE, Level.RECOMMEND, first_seen=NOW, proof=GOOD)
    with pytest.raises(PolicyError, match="nobody asked"):
        grant(ready, GOOD, SOUND, "ada", now=NOW)
    asked = wish(ready, Level.CLOSE, "abe", now=NOW, reason="noise")
    with pytest.raises(PolicyError, match=r"evidence \(e-value\): 12, needed 20; distinct days: 1 days"):
        grant(asked, replace(GOOD, earned=12.0, days=1), SOUND, "ada", now=NOW)
    given_level = grant(asked, GOOD, SOUND, "ada", now=NOW)
    assert (given_level.level, given_level.granted_by, given_level.wish) == (Level.CLOSE, ("abe", "ada"), None)


@pytest.mark.parametrize("level", [Level.CONTAIN, Level.RECOMMEND, Level.OFF])
def test_nobody_wishes_for_what_there_is_or_cannot_be(level: Level) -> None:
    with pytest.raises(PolicyError):
        wish(Standing(CLOSE, Level.RECOMMEND), level, "abe", now=NOW, reason="r")
    with pytest.raises(PolicyError, match="no level auto-close"):
        wish(Standing(CONTAIN, Level.RECOMMEND), Level.CLOSE, "abe", now=NOW, reason="r")


def test_the_level_that_counts_is_the_lowest_of_four() -> None:
    assert bounds(AT_CLOSE, SOUND).level is Level.CLOSE
    for facts, held in (
        (replace(SOUND, policy=Level.SHADOW), "policy"),
        (replace(SOUND, certified=False), "data"),
        (replace(SOUND, healthy_hours=0.0), "data"),
        (replace(SOUND, doubts=("stale",)), "data"),
    ):
        assert bounds(AT_CLOSE, facts).level < Level.CLOSE
        assert bounds(AT_CLOSE, facts).held_by == held
    assert bounds(AT_CLOSE.with_changes(hold=Level.RECOMMEND), SOUND).held_by == "evidence"
    assert bounds(AT_CONTAIN, SOUND).level is Level.RECOMMEND
    assert bounds(AT_CONTAIN, SOUND).held_by == "verification"
    assert bounds(AT_CONTAIN, DRILLED).level is Level.CONTAIN


proofs = st.builds(
    Proof,
    judged=st.integers(0, 500),
    agreed=st.integers(0, 500),
    doubt=st.sampled_from([0.1, 1.0, 20.0]),
    earned=st.sampled_from([0.1, 1.0, 19.0, 20.0]),
    support=st.sampled_from([1.0, 20.0]),
    losing=st.sampled_from([0.1, 20.0]),
    days=st.integers(0, 5),
    entities=st.integers(0, 5),
    canaries=st.sampled_from([0, 59, 92]),
    canaries_missed=st.integers(0, 2),
    canaries_caught=st.integers(0, 2),
    canaries_failed=st.integers(0, 1),
    protected=st.integers(0, 1),
)
facts_of = st.builds(
    Facts,
    healthy_hours=st.sampled_from([0.0, 10.0, 30.0]),
    certified=st.booleans(),
    policy=st.sampled_from(Level),
    alarms=st.sampled_from([(), ("psi",)]),
    doubts=st.sampled_from([(), ("stale",)]),
)
standings = st.builds(
    lambda level, hold: AT_CLOSE.with_changes(level=level, hold=hold),
    st.sampled_from([one for one in Level if one <= Level.CLOSE]),
    st.sampled_from(Level),
)


@given(standing=standings, proof=proofs, facts=facts_of)
@settings(max_examples=300, deadline=None)
def test_no_step_of_the_machine_ever_reaches_a_level_on_which_it_acts_alone(
    standing: Standing, proof: Proof, facts: Facts
) -> None:
    after = advance(standing, proof, facts, NOW).standing
    assert after.level <= max(standing.level, Level.RECOMMEND)
    assert bounds(after, facts).level <= after.level


@given(standing=standings, proof=proofs, facts=facts_of)
@settings(max_examples=300, deadline=None)
def test_what_a_step_keeps_has_nothing_against_it(standing: Standing, proof: Proof, facts: Facts) -> None:
    step = advance(standing, proof, facts, NOW)
    if step.standing.level.alone:
        assert losses(step.standing, proof, facts) == ()
    if step.loss is not None and standing.level.alone:
        assert step.reopen_since is not None
        assert step.reopen_since <= NOW - timedelta(days=7)


@given(standing=standings, proof=proofs, facts=facts_of)
def test_a_standing_survives_the_store(standing: Standing, proof: Proof, facts: Facts) -> None:
    import orjson  # of this alone

    kept = standing.with_changes(proof=proof)
    assert Standing.from_bytes(orjson.dumps(kept.to_json())) == kept
    assert Proof.from_json(proof.to_json()) == proof
    assert Facts.from_json(facts.to_json()) == facts


def test_every_requirement_shows_a_share_for_its_bar() -> None:
    for level in (Level.SHADOW, Level.RECOMMEND, Level.CLOSE):
        for one in requirements(level, DecisionClass.CLOSE, Proof(), Facts()):
            assert 0.0 <= one.share <= 1.0
            assert one.to_json()["name"] == one.name

"""From labels to what they prove: caps, blindness, stands, and a world in which a withdrawn label never was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.levels.proof import CanaryCounts, prove
from nightdesk.autonomy.levels.standing import Standing
from nightdesk.autonomy.levels.units import DecisionClass, Unit
from nightdesk.autonomy.oversight.labels import How, Label, LabelState
from nightdesk.sdk.case import Verdict

DAY = datetime(2026, 11, 1, tzinfo=UTC)
UNIT = Unit("acme", "edr/r1@1")
NEW = Standing(UNIT)


def a_label(seq: int, **changes: Any) -> Label:
    """A blind *benign* by one of three, on another host and day each time."""
    facts: dict[str, Any] = {
        "tenant": "acme", "label_id": f"l{seq}", "seq": seq, "rule": UNIT.rule, "case_id": f"case-{seq}",
        "analyst": ("ann", "ben", "cat")[seq % 3], "verdict": Verdict.BENIGN_POSITIVE, "at": DAY, "blind": True,
        "how": How.QUEUE, "entity": f"host:{seq % 50}", "day": (DAY + timedelta(days=seq % 9)).date().isoformat(),
        "stand": "close",
    }  # fmt: skip
    return Label(**{**facts, **changes})


HONEST = [a_label(seq) for seq in range(1, 398)]
ATTACK = {"verdict": Verdict.TRUE_POSITIVE, "state": LabelState.CONFIRMED}


def test_397_honest_labels_are_enough_and_396_are_not() -> None:
    assert prove(NEW, HONEST).earned > 20 * (1 - 1e-9)
    assert prove(NEW, HONEST[:-1]).earned < 20 * (1 - 1e-9)
    found = prove(NEW, HONEST)
    assert (found.judged, found.agreed, found.days, found.entities, found.left_out) == (397, 397, 9, 50, 0)


def test_a_prior_of_250_leaves_147() -> None:
    assert prove(NEW, HONEST[:147], prior=250).earned > 20 * (1 - 1e-9)
    assert prove(NEW, HONEST[:146], prior=250).earned < 20 * (1 - 1e-9)


def test_what_was_seen_or_had_no_stand_is_no_benign_evidence() -> None:
    for changes in ({"blind": False}, {"stand": ""}, {"stand": "contain-host"}, {"how": How.KNOWN}):
        assert prove(NEW, [replace(one, **changes) for one in HONEST]).benign == 0


def test_an_attack_counts_however_it_was_found() -> None:
    for changes in ({}, {"blind": False}, {"stand": ""}, {"how": How.CASE}):
        assert prove(NEW, [*HONEST, a_label(500, **ATTACK, **changes)]).attacks == 1
    assert prove(NEW, [*HONEST, a_label(500, **{**ATTACK, "state": LabelState.PROVISIONAL})]).attacks == 0


def test_one_attack_costs_184() -> None:
    attacked = [*HONEST, a_label(500, **ATTACK)]
    more = [a_label(seq) for seq in range(1000, 1184)]
    assert prove(NEW, attacked).earned < 6
    assert prove(NEW, [*attacked, *more[:-1]]).earned < 20 * (1 - 1e-9)
    assert prove(NEW, [*attacked, *more]).earned > 20 * (1 - 1e-9)


def test_an_attack_after_the_grant_takes_nothing_from_what_it_was_granted_on() -> None:
    assert prove(NEW, [*HONEST, a_label(500, **ATTACK)]).support > 20 * (1 - 1e-9)


@given(seqs=st.lists(st.integers(1, 397), max_size=60, unique=True))
@settings(max_examples=40, deadline=None)
def test_withdrawn_labels_are_a_world_in_which_they_never_were(seqs: list[int]) -> None:
    gone = [replace(one, state=LabelState.WITHDRAWN) if one.seq in seqs else one for one in HONEST]
    without = [one for one in HONEST if one.seq not in seqs]
    assert replace(prove(NEW, gone), newest=0) == replace(prove(NEW, without), newest=0)


def test_nothing_before_a_loss_counts() -> None:
    after = prove(NEW.with_changes(counts_after=397), [*HONEST, a_label(400)])
    assert (after.benign, after.judged, after.newest) == (1, 1, 400)


def test_only_the_random_sample_speaks_for_a_grant_and_every_miss_against_it() -> None:
    granted = NEW.with_changes(granted_after=397)
    sample = {"how": How.SAMPLE, "closed": True}
    clean = [a_label(400 + seq, **sample) for seq in range(50)]
    assert prove(granted, [*HONEST, *clean]).reviewed == 50
    assert prove(granted, [*HONEST, *(a_label(400 + seq, closed=True) for seq in range(50))]).reviewed == 0
    misses = [a_label(500 + seq, **ATTACK, closed=True, how=How.CASE) for seq in range(3)]
    found = prove(granted, [*HONEST, *misses])
    assert (found.missed, found.losing >= 20) == (3, True)
    assert prove(granted, [*HONEST, *misses[:2]]).losing < 20


def test_disagreement_is_noticed_before_it_is_confirmed() -> None:
    odd = [a_label(seq, verdict=Verdict.TRUE_POSITIVE) for seq in range(600, 640)]
    found = prove(NEW, [*HONEST[:100], *odd])
    assert (found.judged, found.agreed, found.attacks) == (140, 100, 0)
    assert found.doubt >= 20


def test_containments_are_judged_the_other_way_round() -> None:
    unit = Standing(replace(UNIT, decides=DecisionClass.CONTAIN_HOST))
    right = [a_label(seq, **ATTACK, stand="contain-host") for seq in range(1, 120)]
    wrong = a_label(500, stand="contain-host")
    found = prove(unit, [*right, wrong])
    assert (found.recommended, found.rejected) == (120, 1)


def test_for_containment_an_attack_counts_when_it_was_judged_blind_and_benign_however_it_was_found() -> None:
    unit = Standing(replace(UNIT, decides=DecisionClass.CONTAIN_HOST))
    seen = [a_label(seq, **ATTACK, stand="contain-host", blind=False) for seq in range(1, 120)]
    assert prove(unit, seen).recommended == 0
    assert prove(unit, [a_label(1, stand="contain-host", blind=False)]).rejected == 1
    both = [a_label(seq, **ATTACK, stand="contain-host contain-identity") for seq in range(1, 4)]
    for decides, count in ((DecisionClass.CONTAIN_HOST, 3), (DecisionClass.CONTAIN_IDENTITY, 3),
                           (DecisionClass.BLOCK_INDICATOR, 0)):  # fmt: skip
        assert prove(Standing(replace(UNIT, decides=decides)), both).recommended == count


def test_an_attack_that_was_to_be_contained_still_speaks_against_closing() -> None:
    assert prove(NEW, [*HONEST, a_label(500, **ATTACK, stand="contain-host")]).attacks == 1


def test_three_containments_that_people_reject_lose_a_right_and_those_before_it_do_not() -> None:
    unit = Standing(replace(UNIT, decides=DecisionClass.CONTAIN_HOST), granted_after=200)
    right = [a_label(seq, **ATTACK, stand="contain-host") for seq in range(1, 201)]
    wrong = [a_label(seq, stand="contain-host") for seq in range(300, 303)]
    assert prove(unit, [*right, *wrong[:2]]).losing < 20
    assert prove(unit, [*right, *wrong]).losing >= 20
    assert prove(unit, [*(replace(one, seq=one.seq - 200) for one in wrong), *right]).losing < 20


def test_canaries_are_told_as_they_were_counted() -> None:
    found = prove(NEW, [], canaries=CanaryCounts(59, 1, 3, 0))
    assert (found.canaries, found.canaries_missed, found.canaries_caught, found.canaries_failed) == (59, 1, 3, 0)

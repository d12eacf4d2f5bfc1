from datetime import UTC, datetime, timedelta

import pytest

from nightdesk.autonomy.learning.champion import CASES, Roster, Standing, Trial, rule
from nightdesk.sdk.errors import NightdeskError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def a_trial(
    cases: int = CASES, champion: int = 300, challenger: int = 300, canaries: tuple[int, int, int] = (59, 59, 59)
) -> Trial:
    return Trial(
        "new",
        tuple((f"case-{number}", number < champion, number < challenger) for number in range(cases)),
        tuple((f"canary-{number}", number < canaries[1], number < canaries[2]) for number in range(canaries[0])),
    )


@pytest.mark.parametrize(
    ("trial", "decided", "promote", "said"),
    [
        (a_trial(CASES - 1, 10, 400), False, False, "499 of 500 cases in shadow"),
        (a_trial(), True, True, "closes 300 (champion 300), catches 59 (champion 59)"),
        (a_trial(challenger=301), True, True, "closes 301"),
        (a_trial(challenger=299), True, False, "would close 299 of 500 cases, the champion 300"),
        (a_trial(challenger=400, canaries=(59, 59, 58)), True, False, "catches 58 of 59 canaries, the champion 59"),
        (a_trial(canaries=(59, 58, 59)), True, True, "catches 59 (champion 58)"),
    ],
)
def test_a_challenger_is_promoted_only_if_it_is_no_worse(trial: Trial, decided: bool, promote: bool, said: str) -> None:
    ruling = rule(trial)
    assert (ruling.decided, ruling.promote) == (decided, promote)
    assert said in ruling.reason


def test_a_case_counts_once_by_its_last_score() -> None:
    trial = Trial("new")
    for closes in (True, True, False):
        trial = trial.case("one", champion=closes, challenger=True).canary("c", champion=True, challenger=closes)
    assert trial.cases == (("one", False, True),)
    assert trial.canaries == (("c", True, False),)


def crowned() -> Roster:
    roster = Roster().challenge("first", NOW)
    assert roster.champion is None
    roster, ruling = Roster(roster.entries, a_trial(champion=0)).ruled(NOW + DAY)
    assert ruling.promote
    return roster


def test_the_first_model_has_its_trial_too() -> None:
    roster = crowned()
    assert roster.champion is not None
    assert (roster.champion.model_id, roster.champion.since) == ("first", NOW + DAY)
    assert roster.trial is None


def test_a_first_model_that_misses_a_canary_is_rejected() -> None:
    roster = Roster(Roster().challenge("first", NOW).entries, a_trial(champion=0, canaries=(59, 0, 58)))
    roster, ruling = roster.ruled(NOW)
    assert not ruling.promote
    assert "misses 1 canaries" in ruling.reason
    assert [one.standing for one in roster.entries] == [Standing.REJECTED]


def test_every_model_is_kept_whatever_became_of_it() -> None:
    roster = crowned()
    for number, challenger in ((2, 299), (3, 301)):
        roster = roster.challenge(f"model-{number}", NOW + number * DAY)
        assert roster.trial is not None
        roster, _ = Roster(roster.entries, a_trial(challenger=challenger)).ruled(NOW + number * DAY)
    assert [(one.model_id, one.standing, one.follows) for one in roster.entries] == [
        ("first", Standing.RETIRED, ""),
        ("model-2", Standing.REJECTED, "first"),
        ("model-3", Standing.CHAMPION, "first"),
    ]


def test_an_undecided_trial_changes_nothing() -> None:
    roster = crowned().challenge("second", NOW)
    after, ruling = roster.ruled(NOW)
    assert after == roster
    assert not ruling.decided


def test_training_again_to_the_same_bytes_confirms_the_champion() -> None:
    roster = crowned().challenge("first", NOW + 5 * DAY)
    assert roster.trial is None
    assert roster.champion is not None
    assert roster.champion.trained_at == NOW + 5 * DAY
    assert len(roster.entries) == 1


def test_nobody_challenges_during_a_trial() -> None:
    tried = crowned().challenge("second", NOW + DAY)
    with pytest.raises(NightdeskError, match="is on trial: rule on it before another challenges"):
        tried.challenge("third", NOW + 2 * DAY)


def test_there_is_nothing_to_rule_on_without_a_trial() -> None:
    with pytest.raises(NightdeskError, match="no model is on trial"):
        Roster().ruled(NOW)

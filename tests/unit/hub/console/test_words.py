from datetime import UTC, datetime, timedelta, timezone

import pytest

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.console import words
from nightdesk.sdk.case import CaseStatus, EntityKind, Mode, Outcome, Verdict
from nightdesk.sdk.verbs import VERBS

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (words.STATE, ActionState),
        (words.STATE_TONE, ActionState),
        (words.STATUS, CaseStatus),
        (words.OUTCOME, Outcome),
        (words.OUTCOME_TONE, Outcome),
        (words.VERDICT, Verdict),
        (words.MODE, Mode),
        (words.ENTITY_KIND, EntityKind),
        (words.ENTITY_WORDS, EntityKind),
    ],
)
def test_every_code_has_a_word(table: dict[object, str], codes: type) -> None:
    assert set(table) == set(codes)  # type: ignore[call-overload]  # an enum class is what it holds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (45, "45 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7199, "119 min ago"),
        (7200, "2 h ago"),
        (86400 * 2, "2 d ago"),
        (-10800, "in 3 h"),
    ],
)
def test_an_age_is_told_in_the_largest_unit_that_says_something(seconds: int, text: str) -> None:
    assert words.age(NOW - timedelta(seconds=seconds), NOW) == text


def test_moments_are_utc_wherever_they_were_taken() -> None:
    there = datetime(2026, 11, 23, 1, 0, tzinfo=timezone(timedelta(hours=5)))
    assert words.moment(there) == "2026-11-22 20:00:00 UTC"
    assert words.span_of(there, there + timedelta(minutes=5)) == "2026-11-22 20:00:00 and 20:05:00 UTC"
    assert words.span_of(there, there + timedelta(hours=5)).count("2026-11-2") == 2


def test_every_verb_has_a_name_without_dots_or_underscores() -> None:
    for name in VERBS:
        assert not set("._") & set(words.verb_name(name)), name
    assert words.verb_name("host.isolate") == "Isolate host"
    assert words.verb_name("ip.block") == "Block IP address"


def test_a_reason_without_words_is_its_code_as_words() -> None:
    assert words.reason("no_signed_rule") == "No signed rule"
    assert words.reason("no_signed_rule", ("No rule is signed.", "More.")) == "No rule is signed."


def test_an_unknown_severity_is_said() -> None:
    assert words.severity(42) == ("Severity 42", "unknown")


def test_lists_are_told_as_a_person_would() -> None:
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a", "b", "c", "d"]) == "a, b and 2 more"

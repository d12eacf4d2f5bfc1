from typing import Any

import pytest

from nightdesk.stix.functions import FUNCTIONS, check_call


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-20 08:00:01.250", "2026-11-20T08:00:01.250Z"),
        ("2026-11-20T08:00", "2026-11-20T08:00:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("Nov 20 2026 08:00:01", "2026-11-20T08:00:01Z"),
        ("Fri, Nov 20 2026 08:00:01.5 UTC", "2026-11-20T08:00:01.5Z"),
        ("11/20/2026 12:05:01 AM", "2026-11-20T00:05:01Z"),
        ("11/20/2026 12:05:01 PM", "2026-11-20T12:05:01Z"),
        ("1/2/2026, 3:04:05 pm", "2026-01-02T15:04:05Z"),
        ("2026-11-20T08:00:01Z", "2026-11-20T08:00:01Z"),
        ("Foo 20 2026 08:00:01", "Foo 20 2026 08:00:01"),
        (1763625601, 1763625601),
    ],
)
def test_a_time_that_the_vendor_says_is_utc_gets_its_zone(text: Any, read: Any) -> None:
    assert FUNCTIONS["utc"](text) == read


@pytest.mark.parametrize(
    ("value", "share"), [(0.5, 50), ("0.873", 87), (1, 100), ("much", "much"), (None, None), (float("nan"), None)]
)
def test_a_share_becomes_a_percentage(value: Any, share: Any) -> None:
    found = FUNCTIONS["percent"](value)
    assert found == share or (share is None and found is value)


def test_a_part_of_a_text_is_found_by_its_group() -> None:
    assert FUNCTIONS["found"]("rule 4711 fired", r"rule\s(\d+)") == "4711"
    assert FUNCTIONS["found"]("rule 4711 fired", r"\d+") == "4711"
    assert FUNCTIONS["found"]("nothing", r"\d+") is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("if_email", "ida@example.com", "ida"), ("if_url", "https://example.com/a", "example.com")],
)
def test_a_value_is_taken_only_when_it_is_one(name: str, good: str, bad: str) -> None:
    assert FUNCTIONS[name](good) == good
    assert FUNCTIONS[name](bad) is None


@pytest.mark.parametrize("words", [[], ["("], ["a", "b"]])
def test_a_pattern_that_is_none_is_refused_when_the_mapping_is_loaded(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"found cannot take|no regular expression"):
        check_call("found", FUNCTIONS["found"], words)

"""Page tokens come from addresses, so from anybody."""

import pytest

from nightdesk.hub.console.paging import place_of, token_for


def test_a_token_names_its_place() -> None:
    place = ("0", "2026-11-01", "run-000001")
    assert place_of(token_for(place), 3) == place


@pytest.mark.parametrize("token", ["", "%", "ü", "bnVsbA", "WzEsMiwzXQ", "WyJhIl0", "eyJhIjoxfQ", "A" * 5000])
def test_any_other_text_is_the_first_page(token: str) -> None:
    assert place_of(token, 3) is None

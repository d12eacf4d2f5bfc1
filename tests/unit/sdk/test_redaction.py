import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.sdk.redaction import Redactor

SECRETS = st.text(min_size=6).filter(lambda text: text.strip("*") == text)


@given(SECRETS, st.text(), st.text())
def test_no_spelling_of_a_secret_survives(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.learn(secret)
    for spelling in (
        secret,
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ):
        assert secret not in redactor.clean(f"{before}{spelling}{after}", 10_000)
        assert spelling not in redactor.mask(f"<{spelling}>")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a hush-hush b", "a *** b"),
        ("li\r\nne\x1b[31m", "li ne [31m"),
        ("two  part", "***"),
        ("two\npart", "***"),
        ("12345678901", "123456789…"),
        ("12345678 hush-hush", "12345678 …"),
    ],
)
def test_a_text_becomes_one_masked_and_capped_line(text: str, line: str) -> None:
    redactor = Redactor()
    redactor.learn("hush-hush", "two  part", "two part")
    assert redactor.clean(text, 10) == line


def test_a_secret_inside_another_leaves_nothing_of_the_longer() -> None:
    redactor = Redactor()
    redactor.learn("hush", "hush-hush-now")
    assert redactor.mask("say hush-hush-now or hush") == "say *** or ***"


def test_nothing_is_masked_before_a_secret_is_known_and_an_empty_one_is_none() -> None:
    redactor = Redactor()
    redactor.learn("")
    assert redactor.mask("open text") == "open text"


def test_a_secret_in_use_outlives_many_renewed_tokens() -> None:
    redactor = Redactor()
    for number in range(500):
        redactor.learn("client-secret", f"token-{number:04}")
    assert redactor.mask("client-secret token-0499") == "*** ***"
    assert redactor.mask("token-0000") == "token-0000"  # long expired; memory stays bounded


def test_its_representation_shows_how_many_and_not_what() -> None:
    redactor = Redactor()
    redactor.learn("hush-hush")
    assert repr(redactor) == "Redactor(1 secrets)"

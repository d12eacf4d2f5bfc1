import pytest

from nightdesk.hub.console.untrusted import plain, safe_link, shortened, untrusted


def test_markup_is_escaped() -> None:
    assert "<script>" not in untrusted("<script>alert(1)</script>")
    assert "&lt;script&gt;" in untrusted("<script>alert(1)</script>")


@pytest.mark.parametrize(
    ("character", "mark"),
    [
        ("\u202e", "[U+202E]"),
        ("\u2066", "[U+2066]"),
        ("\u200b", "[U+200B]"),
        ("\x00", "[U+0000]"),
        ("\x1b", "[U+001B]"),
        ("\x7f", "[U+007F]"),
        ("\u2028", "[U+2028]"),
        ("\u3164", "[U+3164]"),
        ("\U000e0041", "[U+E0041]"),
        ("\ud800", "[U+D800]"),
        ("\r", "[U+000D]"),
    ],
)
def test_what_hides_or_reorders_is_shown_as_a_mark(character: str, mark: str) -> None:
    text = f"invoice{character}fdp.exe"
    assert mark in untrusted(text)
    assert mark in plain(text)
    assert character not in untrusted(text)
    assert character not in plain(text)


def test_letters_of_any_script_and_line_breaks_stay() -> None:
    text = "Zoë\nשלום 你好 🙂"
    assert text in untrusted(text)


def test_foreign_text_stands_alone_so_that_it_reorders_nothing_else() -> None:
    assert str(untrusted("שלום")).startswith("<bdi")


def test_plain_text_is_one_line() -> None:
    assert plain("a\n\n b\tc") == "a b c"


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " https://x.example.com/\u202e",
        "data:text/html,x",
        "//evil.example.com",
        "https:",
        "http://[::1",
        "",
        "/relative",
        "https://x.example.com/\njavascript:",
    ],
)
def test_no_browser_is_sent_where_a_link_should_not_lead(address: str) -> None:
    assert safe_link(address) == ""


def test_an_ordinary_link_stays() -> None:
    assert safe_link("https://edr.example.com/d?id=1&x=2") == "https://edr.example.com/d?id=1&x=2"


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"

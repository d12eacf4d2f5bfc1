from datetime import UTC, datetime, timedelta, timezone

import pytest

from nightdesk.stix import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", ("ipv4-addr", "192.0.2.7")),
        (" 192.0.2.7 ", ("ipv4-addr", "192.0.2.7")),
        ("2001:DB8:0:0:0:0:0:1", ("ipv6-addr", "2001:db8::1")),
        ("[2001:db8::1]", ("ipv6-addr", "2001:db8::1")),
        ("fe80::1%eth0", ("ipv6-addr", "fe80::1")),
        ("::ffff:192.0.2.7", ("ipv4-addr", "192.0.2.7")),
    ],
)
def test_an_address_has_one_spelling(text: str, expected: tuple[str, str]) -> None:
    assert values.address(text) == expected


@pytest.mark.parametrize("text", ["", "192.0.2.300", "192.0.2", "192.0.2.0/24", "host", "192.0.2.07", "::g", "1"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert values.address(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EXAMPLE.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a.b-c.example", "a.b-c.example"),
    ],
)
def test_a_domain_has_one_spelling(text: str, expected: str) -> None:
    assert values.domain(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "a..b", "-a.example", "a-.example", "_dmarc.example.com", "xn--.example", "a b.example",
     "192.0.2.7", "a." + "b" * 64 + ".example", "a" * 250 + ".example", "r3---x.example", "ex\u202eample.com",
     "example.com/", "é" * 80 + ".x"],
)  # fmt: skip
def test_what_is_no_domain_is_none(text: str) -> None:
    assert values.domain(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/a b", "https://example.com/a%20b"),
        ("https://example.com/%zz", "https://example.com/%25zz"),
        ("https://example.com/%41?x[]=1", "https://example.com/%41?x%5B%5D=1"),
        ("https://example.com/#a#b", "https://example.com/#a%23b"),
        ("http://bücher.example/ü", "http://b%C3%BCcher.example/%C3%BC"),
        ("http://user:p@example.com:8080/", "http://user:p@example.com:8080/"),
        ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80/x"),
        ("ftp://example.com/\u202e\u0000", "ftp://example.com/%E2%80%AE%00"),
    ],
)
def test_a_url_is_encoded_once(text: str, expected: str) -> None:
    assert values.url(text) == expected
    assert values.url(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["", "example.com", "/path", "javascript:alert(1)", "http://", "http://?q", "https://[not-an-address]/",
     "http://a:b:c/", "http://h:port/"],
)  # fmt: skip
def test_what_is_no_absolute_url_is_none(text: str) -> None:
    assert values.url(text) is None


@pytest.mark.parametrize("text", ["00-00-5E-00-53-01", "0000.5E00.5301", "00:00:5e:00:53:01", "00005E005301"])
def test_a_mac_address_has_one_spelling(text: str) -> None:
    assert values.mac(text) == "00:00:5e:00:53:01"


@pytest.mark.parametrize("text", ["", "00:00:00:00:00:00", "00:00:5e:00:53", "00:00:5e:00:53:0g"])
def test_what_is_no_mac_address_is_none(text: str) -> None:
    assert values.mac(text) is None


def test_a_mail_address_has_its_domain_in_lower_case() -> None:
    assert values.email("Jo.Doe@EXAMPLE.com") == "Jo.Doe@example.com"
    for text in ("", "jdoe", "a@b@c", "a b@example.com", "<a@example.com>", "a@" + "b" * 300, "\x00@example.com"):
        assert values.email(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [("AB" * 16, "MD5"), ("ab" * 20, "SHA-1"), (" " + "Ab" * 32, "SHA-256"), ("ab" * 64, "SHA-512")],
)
def test_hashes_are_told_apart_by_length(text: str, name: str) -> None:
    assert values.hash_name(text) == (name, text.strip().lower())


@pytest.mark.parametrize("text", ["", "ab", "0" * 64, "zz" * 16, "ab" * 33])
def test_what_is_no_hash_is_none(text: str) -> None:
    assert values.hash_name(text) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("C:\\Temp\\a.exe", ("C:\\Temp", "a.exe")),
        ("C:\\a.exe", ("C:\\", "a.exe")),
        ("/usr/bin/sh", ("/usr/bin", "sh")),
        ("/sh", ("/", "sh")),
        ("sh", ("", "sh")),
        ("\\\\server\\share\\a", ("\\\\server\\share", "a")),
        ("C:\\Temp\\", ("C:\\Temp", "")),
    ],
)
def test_a_path_is_a_directory_and_a_name(path: str, expected: tuple[str, str]) -> None:
    assert values.split_path(path) == expected


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T08:00:00.123456Z", "2026-11-20T08:00:00.123456789Z", "2026-11-20 09:00:00,123456+01:00",
     "2026-11-20T02:30:00.123456-0530", "2026-11-20T08:00:00.123456 Z"],
)  # fmt: skip
def test_a_time_is_read_in_every_spelling(text: str) -> None:
    assert values.moment(text) == datetime(2026, 11, 20, 8, 0, 0, 123456, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-11-20", "2026-11-20T08:00:00", "2026-02-30T00:00:00Z", "1999-12-31T23:59:59Z",
     "2100-01-01T00:00:00Z", "2026-11-20T25:00:00Z", "2026-11-20T08:00:00+99:00"],
)  # fmt: skip
def test_what_is_no_time_with_a_zone_is_none(text: str) -> None:
    assert values.moment(text) is None


def test_a_count_since_1970_tells_its_unit_by_its_size() -> None:
    wanted = datetime(2026, 11, 20, 8, 0, 0, 123000, UTC)
    whole = int(wanted.timestamp())
    assert values.epoch(whole) == wanted.replace(microsecond=0)
    for count in (whole * 1000 + 123, (whole * 1000 + 123) * 1000, (whole * 1000 + 123) * 10**6):
        assert values.epoch(count) == wanted
    assert values.epoch(f"{whole}.123") == wanted
    for senseless in (0, -1, 10**30, "1e9", "nan"):
        assert values.epoch(senseless) is None


@pytest.mark.parametrize(
    ("microsecond", "clock", "created"),
    [
        (0, "08:00:00Z", "08:00:00.000Z"),
        (120000, "08:00:00.12Z", "08:00:00.120Z"),
        (999, "08:00:00.000999Z", "08:00:00.000Z"),
    ],
)
def test_times_are_written_as_each_property_wants_them(microsecond: int, clock: str, created: str) -> None:
    when = datetime(2026, 11, 20, 8, 0, 0, microsecond, UTC)
    assert values.clock_text(when) == f"2026-11-20T{clock}"
    assert values.created_text(when) == f"2026-11-20T{created}"


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    found = values.moment(datetime(2026, 11, 20, 13, 30, tzinfo=east).isoformat())
    assert found is not None
    assert values.clock_text(found) == "2026-11-20T08:00:00Z"


def test_protocols_are_iana_names() -> None:
    assert [values.protocol(text) for text in ("TCP", "17", " rdp ", "dns", "quic", "")] == [
        "tcp", "udp", "ms-wbt-server", "domain", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["\x00", " ", "%", "#a#", "é", "\\", "[", "^"])
def test_a_url_that_is_not_plain_is_read_as_fast_as_one_that_is(end: str) -> None:
    """A pattern that tries every way to part a text would not come back from these before the world ends."""
    for text in ("https://example.com/" + "a/b=" * 5_000, "https://example.com/#" + "x" * 20_000, "a" * 20_000):
        values.url(text + end)
        values.url(text + end + text)


def test_a_plain_url_keeps_its_letters_and_another_is_encoded() -> None:
    assert (
        values.url("https://example.com:8443//#/malop/11.47?x=%20&y=(1)")
        == "https://example.com:8443//#/malop/11.47?x=%20&y=(1)"
    )
    assert values.url("https://example.com/a b\x00%zz") == "https://example.com/a%20b%00%25zz"
    assert values.url("https://example.com") == "https://example.com"


def test_a_long_text_is_not_remembered() -> None:
    before = values.domain.__closure__
    assert before is not None
    (known,) = (cell.cell_contents for cell in before if hasattr(cell.cell_contents, "cache_info"))
    size = known.cache_info().currsize
    assert values.domain("a" * 1_000_000) is None
    assert values.domain("a-new-one.example.com") == "a-new-one.example.com"
    assert known.cache_info().currsize == size + 1

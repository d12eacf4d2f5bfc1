"""A stream is cut into the same messages wherever the network cuts it."""

import pytest

from nightdesk.connectors.syslog.framing import Framer, trimmed

CASES = [
    (b"5 <1>ab4 <2>c", [b"<1>ab", b"<2>c"]),
    (b"<1>ab\n<2>c\r\n\n<3>d\x00<4>e\n", [b"<1>ab", b"<2>c", b"<3>d", b"<4>e"]),
    (b"<1>ab\n6 <2>c\nd\n<3>e\n", [b"<1>ab", b"<2>c\nd", b"<3>e"]),
    (b'7 CEF:0|a\n8 LEEF:1.0{}\n7 {"a":1}', [b"CEF:0|a", b"LEEF:1.0", b"{}", b'{"a":1}']),
    (b"2026-11-01 CEF:0|x\n12 apples\n3\n", [b"2026-11-01 CEF:0|x", b"12 apples", b"3"]),
    (b"0 <1>a\n1234567890 <1>a\n", [b"0 <1>a", b"1234567890 <1>a"]),
    (b"9 <1>\xff\xfe \xc3\xbc\n", [b"<1>\xff\xfe \xc3\xbc"]),
    (b"\n\r\n\x00", []),
]


@pytest.mark.parametrize(("stream", "wanted"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_the_same_in_any_pieces(stream: bytes, wanted: list[bytes], size: int) -> None:
    framer = Framer(100)
    found = [one for at in range(0, len(stream), size) for one in framer.feed(stream[at : at + size])]
    assert [*found, *framer.end()] == wanted


@pytest.mark.parametrize(
    "stream", [b"25 " + b"<1>45678901234567890123456" * 1 + b"\n<2>z\n", b"<1>4567890123456789012345678\n<2>z\n"]
)
def test_what_is_too_long_comes_in_pieces_and_what_follows_is_whole(stream: bytes) -> None:
    for size in (1, 5, 1000):
        framer = Framer(10)
        found = [one for at in range(0, len(stream), size) for one in framer.feed(stream[at : at + size])]
        assert b"".join(found[:-1]).startswith(b"<1>456789012345678901234")
        assert all(len(one) <= 10 for one in found)
        assert found[-1] == b"<2>z"


@pytest.mark.parametrize("stream", [b"<1>no end", b"100 <1>no end", b"12", b"12 CE"])
def test_what_breaks_off_is_kept_when_the_sender_hangs_up(stream: bytes) -> None:
    framer = Framer(1000)
    assert framer.feed(stream) == []
    (rest,) = framer.end()
    assert rest in {stream, b"<1>no end"}
    assert framer.end() == []


def test_an_endless_line_does_not_grow_in_memory() -> None:
    framer = Framer(1000)
    found = [one for _ in range(100) for one in framer.feed(b"x" * 999)]
    assert sum(map(len, found)) >= 99 * 999
    assert len(framer.end()[0]) <= 1000


def test_the_end_of_a_datagram_is_trimmed() -> None:
    assert trimmed(b"<1>a \r\n\x00\n") == b"<1>a "

"""What is in the spool comes out once, in order, whatever was torn, filled or taken away."""

import errno
import os
from pathlib import Path

import pytest

from nightdesk.connectors.syslog import segments
from nightdesk.connectors.syslog.segments import Mark, read_spool
from nightdesk.connectors.syslog.spool import InUseError, Spool
from nightdesk.sdk.errors import CursorExpiredError

MOST = 800  # eight segments of a hundred bytes


def drained(folder: Path, mark: Mark | None = None, limit: int = 3) -> tuple[list[bytes], Mark | None]:
    found: list[bytes] = []
    while True:
        page = read_spool(folder, mark, limit)
        found += [one.data for one in page.messages]
        assert len(page.messages) <= limit
        mark = page.mark
        if not page.more:
            return found, mark


def filled(folder: Path, *messages: bytes) -> None:
    spool = Spool(folder, most=MOST, sync=False)
    for message in messages:
        spool.append([message])
    spool.close()


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_messages_come_out_in_order_across_segments_and_only_once(tmp_path: Path, limit: int) -> None:
    wanted = [b"message %d " % number + b"x" * 20 for number in range(15)]
    filled(tmp_path, *wanted)
    assert len(list(tmp_path.glob("*.messages"))) > 3
    found, mark = drained(tmp_path, limit=limit)
    assert found == wanted
    assert drained(tmp_path, mark) == ([], mark)
    filled(tmp_path, b"after a restart")
    assert drained(tmp_path, mark)[0] == [b"after a restart"]


def test_equal_messages_are_two_and_a_second_reading_gives_the_same_keys(tmp_path: Path) -> None:
    filled(tmp_path, b"same", b"same")
    keys = [[one.key for one in read_spool(tmp_path, None, 10).messages] for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


def test_only_what_is_before_the_stored_cursor_leaves(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most=MOST, sync=False)
    for number in range(10):
        spool.append([b"%d" % number * 60])
    before = spool.waiting
    page = read_spool(tmp_path, None, 4)
    assert page.mark is not None
    spool.release(page.mark)
    assert spool.waiting < before
    rest, _ = drained(tmp_path, page.mark)
    assert rest == [b"%d" % number * 60 for number in range(4, 10)]
    with pytest.raises(CursorExpiredError):
        read_spool(tmp_path, Mark(page.mark.spool, 1, 0), 1)
    spool.close()


def test_a_number_is_never_used_again(tmp_path: Path) -> None:
    filled(tmp_path, b"one")
    _, mark = drained(tmp_path)
    for path in tmp_path.glob("*.messages"):
        path.unlink()
    filled(tmp_path, b"two")
    assert mark is not None
    with pytest.raises(CursorExpiredError):  # said, and not taken for "nothing new"
        drained(tmp_path, mark)
    assert drained(tmp_path)[0] == [b"two"]


@pytest.mark.parametrize("cut", [1, 5, 9, 14])
def test_a_message_torn_by_a_crash_is_set_aside_with_its_bytes(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, b"whole", b"being written")
    (path,) = tmp_path.glob("*.messages")
    os.truncate(path, path.stat().st_size - cut)
    found, mark = drained(tmp_path)
    assert found == [b"whole"]  # perhaps it is still being written
    filled(tmp_path, b"next")
    page = read_spool(tmp_path, mark, 10)
    assert [one.data for one in page.messages] == [b"next"]
    assert [len(one.payload) for one in page.failures] == [8 + 13 - cut]
    assert read_spool(tmp_path, page.mark, 10).failures == ()


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path, b"one", b"two", b"three")
    filled(tmp_path, b"four")
    path = min(tmp_path.glob("*.messages"))
    data = bytearray(path.read_bytes())
    data[8 + 3 + 8] ^= 1
    path.write_bytes(data)
    page = read_spool(tmp_path, None, 10)
    assert [one.data for one in page.messages] == [b"one", b"four"]
    assert page.failures[0].payload.endswith(b"three")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, most=MOST)
    spool.append([b"before"])
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            spool.append([b"in vain"])
    spool.append([b"in vain"])
    spool.close()
    assert drained(tmp_path)[0] == [b"before", b"in vain"]
    assert read_spool(tmp_path, None, 10).failures == ()


def test_a_spool_has_one_writer(tmp_path: Path) -> None:
    first = Spool(tmp_path, most=MOST)
    with pytest.raises(InUseError, match="another process"):
        Spool(tmp_path, most=MOST)
    first.close()
    Spool(tmp_path, most=MOST).close()


@pytest.mark.parametrize(
    "cursor", [{}, {"spool": "x", "segment": "y", "offset": 0}, {"spool": "other", "segment": 1, "offset": 0}]
)
def test_a_cursor_that_is_not_ours_is_said(tmp_path: Path, cursor: dict[str, object]) -> None:
    filled(tmp_path, b"one")
    with pytest.raises(CursorExpiredError):
        read_spool(tmp_path, Mark.load(cursor), 1)


def test_a_page_says_what_the_folder_is_before_anything_came(tmp_path: Path) -> None:
    assert read_spool(tmp_path / "none", None, 1) == segments.Page((), (), None, more=False)

"""The log file: growing, rotated in every way, packed, torn and unreadable."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.goldens import ACME, normalizer

import nightdesk.connectors.file_tail as package
from nightdesk.connectors.file_tail import Connector, reading
from nightdesk.connectors.file_tail.simulator import Simulator
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, CursorExpiredError, NotFoundError, ScopeError, UnsupportedError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Cursor, Failure, RawRecord
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert

MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")


class Tail:
    """A connector that is built anew for every poll, as after a restart; it remembers only the cursor."""

    def __init__(self, path: Path, *, limit: int = 100, **settings: Any) -> None:
        self.settings = {"path": str(path), "only": "*", **settings}
        self.limit = limit
        self.cursor: Cursor | None = None
        self.failures: list[Failure] = []

    def connector(self) -> Connector:
        values = validate_settings(MANIFEST, self.settings, file="nightdesk.yaml", key="eve")
        return Connector(Context("acme", "eve", Settings(values)))

    def records(self) -> list[RawRecord]:
        async def drained() -> list[RawRecord]:
            found: list[RawRecord] = []
            async for batch in self.connector().pull("lines", self.cursor, limit=self.limit):
                assert len(batch.records) <= self.limit
                found += batch.records
                self.failures += batch.failures
                self.cursor = json.loads(json.dumps(batch.cursor))
            return found

        return asyncio.run(drained())

    def poll(self) -> list[str]:
        return [record.payload.decode() for record in self.records()]

    def health(self) -> Health:
        return asyncio.run(self.connector().check_health())


@pytest.fixture
def sensor() -> Simulator:
    return Simulator()


@pytest.fixture(params=[1, 2, 100])
def tail(sensor: Simulator, request: pytest.FixtureRequest) -> Tail:
    return Tail(sensor.path, limit=request.param)


# A growing file


def test_a_line_counts_once_its_end_is_written(sensor: Simulator, tail: Tail) -> None:
    sensor.write("one\ntw")
    assert tail.poll() == ["one"]
    sensor.write("o")
    assert tail.poll() == []
    sensor.write("\r\n\nthree\n")
    assert tail.poll() == ["two", "three"]
    assert tail.poll() == []


def test_a_file_with_half_a_line_is_waited_for(sensor: Simulator, tail: Tail) -> None:
    assert tail.poll() == []
    sensor.write("half")
    assert tail.poll() == []
    sensor.write(" and half\n")
    assert tail.poll() == ["half and half"]


def test_from_now_on_takes_only_what_is_written_from_now_on(sensor: Simulator) -> None:
    sensor.write("old\nolder, still being wri")
    tail = Tail(sensor.path, from_beginning=False)
    assert tail.poll() == []
    sensor.write("tten\nnew\n")
    assert tail.poll() == ["older, still being written", "new"]


def test_from_now_on_in_an_empty_file(sensor: Simulator) -> None:
    tail = Tail(sensor.path, from_beginning=False)
    assert tail.poll() == []
    sensor.write("new\n")
    assert tail.poll() == ["new"]


# Rotation


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("pack", [False, True])
def test_nothing_is_lost_or_comes_twice_across_a_rotation(
    sensor: Simulator, tail: Tail, copy: bool, pack: bool
) -> None:
    sensor.write("one\ntwo\n")
    assert tail.poll() == ["one", "two"]
    sensor.write("three\n")
    sensor.rotate(copy=copy, pack=pack)
    sensor.write("four\n")
    assert tail.poll() == ["three", "four"]
    assert tail.poll() == []


@pytest.mark.parametrize("copy", [False, True])
def test_several_rotations_between_two_polls_are_read_in_order(sensor: Simulator, tail: Tail, copy: bool) -> None:
    sensor.write("one\n")
    assert tail.poll() == ["one"]
    for number in range(3):
        sensor.write(f"last of {number}\n")
        sensor.rotate(copy=copy, pack=number < 2)
        sensor.write(f"first of {number + 1}\n")
    said = ["last of 0", "first of 1", "last of 1", "first of 2", "last of 2", "first of 3"]
    assert tail.poll() == said
    assert tail.poll() == []


def test_a_sensor_that_was_not_told_yet_still_writes_to_the_old_file(sensor: Simulator, tail: Tail) -> None:
    sensor.write("one\n")
    tail.poll()
    old = sensor.rotate()
    assert tail.poll() == []
    with old.open("a") as file:
        file.write("late\n")
    assert tail.poll() == ["late"]
    sensor.write("new\n")
    with old.open("a") as file:
        file.write("later\n")
    assert sorted(tail.poll()) == ["later", "new"]


def test_a_file_cut_to_nothing_that_grew_longer_than_before_is_a_new_one(sensor: Simulator, tail: Tail) -> None:
    sensor.write("one\n")
    tail.poll()
    os.truncate(sensor.path, 0)
    sensor.write("another\nand another\n")
    assert tail.poll() == ["another", "and another"]


def test_an_inode_that_is_used_again_is_no_file_we_know(sensor: Simulator, tail: Tail) -> None:
    sensor.write("one line\n")
    tail.poll()
    assert tail.cursor is not None
    sensor.path.unlink()
    sensor.write("two lines\nor more\n")
    tail.cursor["files"][0]["inode"] = sensor.path.stat().st_ino
    assert tail.poll() == ["two lines", "or more"]


def test_between_rename_and_creation_the_old_file_is_read(sensor: Simulator, tail: Tail) -> None:
    sensor.write("one\n")
    tail.poll()
    sensor.write("two\n")
    sensor.rotate()
    sensor.path.unlink()
    assert tail.poll() == ["two"]
    sensor.write("three\n")
    assert tail.poll() == ["three"]


def test_what_was_rotated_before_the_first_pull_is_history(sensor: Simulator, tail: Tail) -> None:
    sensor.write("long ago\n")
    sensor.rotate(pack=True)
    sensor.write("now\n")
    assert tail.poll() == ["now"]
    sensor.rotate()
    assert tail.poll() == []


def test_a_last_line_without_an_end_is_taken_once_its_file_is_left(sensor: Simulator) -> None:
    tail = Tail(sensor.path)
    sensor.write("one\ncut by a cra")
    assert tail.poll() == ["one"]
    sensor.rotate()
    sensor.write("after\n")
    assert sorted([*tail.poll(), *tail.poll(), *tail.poll()]) == ["after", "cut by a cra"]


def test_a_rotated_file_is_known_in_another_folder_by_its_pattern(sensor: Simulator) -> None:
    tail = Tail(sensor.path, rotated=str(sensor.path.parent / "*" / "eve.*"))
    sensor.write("one\n")
    assert tail.poll() == ["one"]
    sensor.write("two\n")
    day = sensor.path.parent / "2026-11-01"
    day.mkdir()
    sensor.path.rename(day / "eve.10:00:00.log")
    sensor.write("three\n")
    assert tail.poll() == ["two", "three"]


def test_gzip_that_is_still_being_written_is_waited_for(sensor: Simulator, tail: Tail) -> None:
    sensor.write("".join(f"line {number} {os.urandom(64).hex()}\n" for number in range(200)))
    tail.poll()
    sensor.write("the last\n")
    packed = sensor.rotate(pack=True)
    whole = packed.read_bytes()
    packed.write_bytes(whole[:300])
    sensor.write("next\n")
    found = tail.poll()
    packed.write_bytes(whole)
    assert [*found, *tail.poll()] == ["next", "the last"]
    assert tail.poll() == []


# What is taken


def test_of_suricata_only_alerts_are_taken_and_what_is_torn_is_kept(sensor: Simulator) -> None:
    tail = Tail(sensor.path)
    del tail.settings["only"]
    wanted = sensor.add(an_alert(FakeTime(), "one"))
    sensor.write('{"event_type":"stats"}\n{"event_type": "fl\nnot json\n["alert"]\n{"no":"type"}\n')
    records = tail.records()
    assert sensor.native_id_of(records[0]) == wanted
    assert [record.payload for record in records[1:]] == [b'{"event_type": "fl', b"not json", b'["alert"]']
    assert tail.poll() == []  # the cursor moved through what nobody wants


def test_pages_end_by_bytes_too(sensor: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 10)
    tail = Tail(sensor.path, only="kind=alert")
    sensor.write('{"kind":"noise"}\n' * 5 + '{"kind":"alert"}\n' + '{"kind":"noise"}\n' * 3)
    assert tail.poll() == ['{"kind":"alert"}']


def test_a_line_without_end_is_set_aside_in_pieces(sensor: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST", 8)
    tail = Tail(sensor.path)
    sensor.write("0123456789\nshort\n")
    assert tail.poll() == ["89", "short"]
    assert [(one.payload, one.pointer) for one in tail.failures] == [(b"01234567", "@0")]


def test_equal_lines_have_equal_keys_and_the_product_is_the_settings(sensor: Simulator) -> None:
    sensor.write("same\nsame\nother\n")
    first, second, third = Tail(sensor.path, product="snort").records()
    assert first.key == second.key != third.key
    assert {record.product for record in (first, second, third)} == {"snort"}


ZEEK = r"""#separator \x09
#set_separator	,
#empty_field	(empty)
#unset_field	-
#path	notice
#open	2026-11-01-10-00-00
#fields	ts	uid	id.orig_h	id.orig_p	note	msg	sub	actions	suppress_for	dropped
#types	time	string	addr	port	enum	string	string	set[enum]	interval	bool
"""
NOTICE = "1793530800.123456\tCk8\t192.0.2.7\t49205\tSSL::Invalid_Server_Cert\ta\\x09tab \\xc3\\xbc\t{}\t{}\t3600.0\tF\n"


def test_a_tab_separated_zeek_log_becomes_the_json_of_its_header_also_after_a_restart(sensor: Simulator) -> None:
    tail = Tail(sensor.path, product="zeek", limit=1)
    sensor.write(ZEEK + NOTICE.format("-", "Notice::ACTION_LOG,Notice::ACTION_EMAIL"))
    (line,) = tail.poll()
    assert json.loads(line) == {
        "ts": 1793530800.123456, "uid": "Ck8", "id.orig_h": "192.0.2.7", "id.orig_p": 49205,
        "note": "SSL::Invalid_Server_Cert", "msg": "a\ttab ü", "suppress_for": 3600.0, "dropped": False,
        "actions": ["Notice::ACTION_LOG", "Notice::ACTION_EMAIL"],
    }  # fmt: skip
    found = normalizer().normalize("zeek", line.encode(), ACME)
    assert (found.alert.title, found.loss.lost) == ("SSL: Invalid Server Cert", ())
    sensor.write(NOTICE.format("(empty)", "(empty)"))
    after = json.loads(tail.poll()[0])
    assert (after["sub"], after["actions"]) == ("", [])
    sensor.write("too\tfew\n#close\t2026-11-01-11-00-00\n")
    assert tail.poll() == []
    assert "2 values, the header names 10 fields" in str(tail.failures[0].error)
    sensor.rotate()
    sensor.write("#separator |\n#fields|ts|note\n#types|time|enum\n1.5|A::B\n")
    assert [json.loads(line) for line in tail.poll()] == [{"ts": 1.5, "note": "A::B"}]


def test_an_alert_is_mapped_complete(sensor: Simulator) -> None:
    wanted = sensor.add(an_alert(FakeTime(), "one"))
    (record,) = Tail(sensor.path, only="event_type=alert").records()
    found = normalizer().normalize("suricata", record.payload, ACME)
    assert (found.alert.native_id, found.loss.lost, found.loss.wrong) == (wanted, (), ())
    assert (found.alert.techniques, found.alert.severity_id) == (("T1059.001",), 4)
    assert {"192.0.2.42", "203.0.113.77"} <= {entity.value for entity in found.alert.entities}


# What may be wrong


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "missing.json")
    with pytest.raises(NotFoundError, match=r"no file .*missing\.json"):
        tail.poll()
    health = tail.health()
    assert (health.ok, "missing.json" in health.problems[0]) == (False, True)
    (tmp_path / "missing.json").mkdir()
    assert not tail.health().ok
    (tmp_path / "missing.json").rmdir()
    os.mkfifo(tmp_path / "missing.json")
    assert not tail.health().ok


def test_what_may_not_be_read_names_the_permission(sensor: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    def forbidden(path: Any, *args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    tail = Tail(sensor.path)
    sensor.write("one\n")
    tail.poll()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", forbidden)
        with pytest.raises(ScopeError, match="read permission"):
            tail.poll()
    sensor.write("two\n")
    assert tail.poll() == ["two"]
    assert tail.health() == Health(True)


@pytest.mark.parametrize(
    "cursor", [{}, {"files": [{}], "since": 0}, {"files": 7, "since": 0}, {"files": [], "since": "x"}]
)
def test_a_cursor_that_is_not_ours_is_said(sensor: Simulator, cursor: Cursor) -> None:
    tail = Tail(sensor.path)
    tail.cursor = cursor
    with pytest.raises(CursorExpiredError):
        tail.poll()


def test_wrong_settings_and_streams_are_refused(sensor: Simulator) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        Tail(sensor.path, only="alert").connector()

    async def other() -> None:
        async for _ in Tail(sensor.path).connector().pull("alerts", None, limit=1):
            pass

    with pytest.raises(UnsupportedError):
        asyncio.run(other())

"""The sensor writes, rotates and packs as Suricata and logrotate do."""

import gc
import gzip
import json

import pytest

from nightdesk.connectors.file_tail.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert


def test_alerts_stand_among_traffic_and_have_an_id_each() -> None:
    time, sensor = FakeTime(), Simulator()
    ids = {sensor.add(an_alert(time, f"alert-{number}")) for number in range(50)}
    kinds = [json.loads(line)["event_type"] for line in sensor.path.read_text().splitlines()]
    assert (len(ids), kinds.count("alert"), kinds.count("flow")) == (50, 50, 50)


@pytest.mark.parametrize("copy", [False, True])
def test_a_rotation_keeps_the_inode_when_it_renames_and_changes_it_when_it_copies(copy: bool) -> None:
    sensor = Simulator()
    sensor.write("one\n")
    inode = sensor.path.stat().st_ino
    first = sensor.rotate(copy=copy)
    assert (sensor.path.read_text(), first.read_text()) == ("", "one\n")
    assert (sensor.path.stat().st_ino == inode) is copy
    sensor.write("two\n")
    packed = sensor.rotate(pack=True)
    assert packed.name == "eve.json.1.gz"
    assert gzip.decompress(packed.read_bytes()) == b"two\n"
    assert (sensor.path.parent / "eve.json.2").read_text() == "one\n"


def test_its_folder_goes_with_it() -> None:
    sensor = Simulator()
    folder = sensor.path.parent
    assert folder.is_dir()
    del sensor
    gc.collect()
    assert not folder.exists()

"""Reading judged groups: what is there is taken, and what is wrong is named with its line."""

import gzip
from pathlib import Path

import pytest

from nightdesk.autonomy.evaluation.ait_groups import Variant, read_groups
from nightdesk.sdk.errors import ConfigError

HEAD = "tenant,host,rule,name,ip,n,t0,t1,nev,ntw,ev_label,phase,y,grey"
NOISE = "acme,mail,R1,Tool: something,192.0.2.1,7,100.0,130.5,0,0,-,none,0,0"
ATTACK = "acme,web,R2,Other: scan,192.0.2.2,1,200.0,200.0,1,1,scan,scans,1,0"
QUIET = "acme,web,R3,Tool: lookups,192.0.2.2,3,210.0,215.0,1,1,dnsteal,dnsteal,1,0"
GREY = "acme,web,R3,Tool: lookups,192.0.2.2,3,310.0,315.0,0,1,-,dnsteal,0,1"


def written(folder: Path, *lines: str, name: str = "groups.csv") -> Path:
    file = folder / name
    text = "\n".join(lines) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


@pytest.mark.parametrize("name", ["groups.csv", "groups.csv.gz"])
def test_groups_are_read_plain_or_packed(tmp_path: Path, name: str) -> None:
    noise, attack, quiet, grey = read_groups(written(tmp_path, HEAD, NOISE, ATTACK, QUIET, GREY, name=name))
    assert (noise.group.tenant, noise.group.entity, noise.group.rule) == ("acme", "mail", "R1")
    assert (noise.group.opened, noise.group.last, noise.group.alerts) == (100.0, 130.5, 7)
    assert (noise.group.source, noise.attack, noise.incident, noise.unclear) == ("tool", False, "", False)
    assert (attack.attack, attack.incident, attack.cluster) == (True, "scan", ("acme", "scan", "R2"))
    assert quiet.incident == "dnsteal"
    assert grey.unclear


def test_easy_leaves_the_exfiltration_out(tmp_path: Path) -> None:
    found = read_groups(written(tmp_path, HEAD, NOISE, ATTACK, QUIET, GREY), Variant.EASY)
    assert [one.group.rule for one in found] == ["R1", "R2", "R3"]
    assert not any(one.incident == "dnsteal" for one in found)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (NOISE.replace(",7,", ",many,"), "n 'many' is not a whole number"),
        (NOISE.replace(",7,", ",0,"), "a group has at least one"),
        (NOISE.replace("100.0", "nan"), "t0 'nan' is no time"),
        (NOISE.replace("100.0", "900.0"), "t1 130.5 is before t0 900.0"),
        (NOISE.replace("acme,", ",", 1), "tenant is empty"),
        (NOISE[:-3] + "2,0", "y '2' is neither 0 nor 1"),
        ("acme,mail,R1", "not as many columns"),
        (NOISE + ",more", "not as many columns"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read_groups(written(tmp_path, HEAD, NOISE, line))
    assert caught.value.problems[0].key == "line 3"


def test_all_wrong_lines_are_named_at_once_and_twenty_at_most(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_groups(written(tmp_path, HEAD, *["acme"] * 50))
    assert [one.key for one in caught.value.problems] == [f"line {number}" for number in range(2, 22)]


def test_absent_columns_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column rule, grey"):
        read_groups(written(tmp_path, HEAD.replace("rule,", "").replace(",grey", "")))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_groups(tmp_path / "none.csv")


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    packed = written(tmp_path, HEAD, *[NOISE] * 500, name="groups.csv.gz")
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_groups(packed)
    bytes_ = tmp_path / "bytes.csv"
    bytes_.write_bytes(HEAD.encode() + b"\nacme,\xff")
    with pytest.raises(ConfigError, match="no UTF-8"):
        read_groups(bytes_)

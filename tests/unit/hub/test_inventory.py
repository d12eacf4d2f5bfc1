from pathlib import Path

import pytest

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.hub.inventory import read_inventory
from nightdesk.hub.shared import bundled, read_shared


def read(folder: Path, text: str) -> tuple[dict[str, AssetFacts], list[str]]:
    path = folder / "assets.csv"
    path.write_text(text, encoding="utf-8")
    wrong: list[str] = []
    return read_inventory(folder, path.name, wrong.append), wrong


def test_hosts_and_accounts_with_all_that_is_said_of_them(tmp_path: Path) -> None:
    found, wrong = read(
        tmp_path,
        "hostname,type,tags,ports,groups,kind\n"
        "WS-0042.corp.example.com,workstation,finance berlin,445 3389,,\n"
        "jdoe@corp.example.com,,vip,,Staff;Domain Admins,account\n"
        "10.0.0.5,server,,,,host\n",
    )
    assert wrong == []
    assert found == {
        "host:ws-0042": AssetFacts("workstation", ("finance", "berlin"), ports=(445, 3389)),
        "account:jdoe@corp.example.com": AssetFacts("", ("vip",), groups=("Staff", "Domain Admins")),
        "host:10.0.0.5": AssetFacts("server"),
    }


def test_two_rows_of_one_name_are_two_assets_with_the_warnings_of_both(tmp_path: Path) -> None:
    found, _ = read(
        tmp_path, "hostname,type,tags,ports\nws.a.example,workstation,,\nws.b.example,server,dc,88\nWS,server,dc,\n"
    )
    assert found == {"host:ws": AssetFacts("other", ("dc",), resolves_to=3, ports=(88,))}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hostname,tags\na,b\n", "assets.csv: lacks the column type"),
        ("hostname,type,ports\na,b,ssh\n", "assets.csv:2: ports 'ssh': write numbers, separated by spaces"),
        ("hostname,type,kind\na,b,c\n", "assets.csv:2: kind 'c' is neither host nor account"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    assert read(tmp_path, text)[1] == [told]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    wrong: list[str] = []
    assert read_inventory(tmp_path, "none.csv", wrong.append) == read_inventory(tmp_path, None, wrong.append) == {}
    assert "cannot be read" in wrong[0]


def test_a_list_of_ones_own_stands_beside_the_bundled_one(tmp_path: Path) -> None:
    path = tmp_path / "shared.txt"
    path.write_text("203.0.113.0/24 # a provider\nWWW.Pages.Example.org\n\nnot a name\n", encoding="utf-8")
    wrong: list[str] = []
    found = read_shared(tmp_path, path.name, wrong.append)
    assert found.network_of("203.0.113.7") == "203.0.113.0/24"
    assert found.host_of("pages.example.org")
    assert set(bundled().networks) < set(found.networks)
    assert bundled().hosts < found.hosts
    assert len(wrong) == 1
    assert "shared.txt:4" in wrong[0]
    assert read_shared(tmp_path, "none.txt", wrong.append) == read_shared(tmp_path, None, wrong.append) == bundled()
    assert "cannot be read" in wrong[1]


def test_of_two_rows_the_protected_type_stays(tmp_path: Path) -> None:
    for types in (("network-device", "server"), ("server", "network-device")):
        text = "hostname,type\n" + "".join(f"sw.{number}.example,{name}\n" for number, name in enumerate(types))
        assert read(tmp_path, text)[0]["host:sw"] == AssetFacts("network-device", resolves_to=2)


def test_a_table_as_offices_write_it_says_the_same(tmp_path: Path) -> None:
    found, wrong = read(tmp_path, "\ufeffhostname,type\nCORE-SW., Network-Device \n10.0.0.5.,Server\n")
    assert wrong == []
    assert found == {"host:core-sw": AssetFacts("network-device"), "host:10.0.0.5": AssetFacts("server")}


def test_a_row_that_names_nothing_is_told(tmp_path: Path) -> None:
    assert read(tmp_path, "hostname,type\n ,server\n")[1] == [
        "assets.csv:2: names nothing: write its hostname, or the account's name"
    ]

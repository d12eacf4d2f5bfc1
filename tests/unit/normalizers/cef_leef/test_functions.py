import copy
from typing import Any

import pytest

from nightdesk.normalizers.cef_leef.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (
    None, "", 0, 1.5, True, [], {}, [[]], {"extension": []}, {"extension": {"src": 7}}, {"custom": "x"}, "\x00",
    {"cef": {"severity": []}}, {"attributes": {"devTime": "x", "devTimeFormat": "((((", "sev": {}}},
)  # fmt: skip
SIDED = frozenset({"attacks", "suffers", "host", "site", "unnamed"})


def _line(severity: str = "8", **extension: Any) -> dict[str, Any]:
    return {"cef": {"device_vendor": "Example", "device_product": "IPS", "severity": severity}, "extension": extension}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1793614530118", "1793614530118"),
        ("2026-11-02T10:15:30Z", "2026-11-02T10:15:30Z"),
        ("Nov 02 2026 10:15:30.118 UTC", "2026-11-02T10:15:30.118Z"),
        ("Nov 2 2026 10:15:30 +0130", "2026-11-02T10:15:30+01:30"),
        ("Mon, Nov 02 2026 10:15:30 GMT-05:00", "2026-11-02T10:15:30-05:00"),
    ],
)
def test_a_time_with_year_and_zone_says_when(text: str, wanted: str) -> None:
    assert FUNCTIONS["instant"](text) == wanted
    assert FUNCTIONS["undated"](text) is None


@pytest.mark.parametrize("text", ["Nov 02 2026 10:15:30", "Nov 02 10:15:30", "Nov 02 2026 10:15:30 CEST", "soon"])
def test_a_time_without_year_or_known_zone_is_shown_and_not_believed(text: str) -> None:
    assert FUNCTIONS["instant"](text) is None
    assert FUNCTIONS["undated"](text) == text


def test_the_zone_of_the_device_completes_its_times_and_a_named_one_does_not() -> None:
    line = _line(rt="Nov 02 2026 10:15:30", dtz="+02:00")
    before = copy.deepcopy(line)
    assert FUNCTIONS["zoned"](line)["extension"]["rt"] == "2026-11-02T10:15:30+02:00"
    assert line == before
    named = _line(rt="Nov 02 2026 10:15:30", dtz="Europe/Berlin")
    assert FUNCTIONS["zoned"](named)["extension"]["rt"] == "Nov 02 2026 10:15:30"


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        ("02/11/2026 11:15:30 +0100", "dd/MM/yyyy HH:mm:ss Z", "2026-11-02T11:15:30+01:00"),
        ("2026-11-02T11:15:30.250Z", "yyyy-MM-dd'T'HH:mm:ss.SSSX", "2026-11-02T11:15:30.250Z"),
        ("Mon Nov 2 11:15 UTC 2026", "EEE MMM d HH:mm z yyyy", "2026-11-02T11:15:00Z"),
        ("02/11/2026 11:15:30", "dd/MM/yyyy HH:mm:ss", "02/11/2026 11:15:30"),
        ("02/11/2026 11:15:30 +0100", "dd/MM/QQQQ HH:mm:ss Z", "02/11/2026 11:15:30 +0100"),
        ("02/11/2026 02/11/2026", "dd/MM/yyyy dd/MM/yyyy", "02/11/2026 02/11/2026"),
    ],
)
def test_a_time_is_read_by_the_format_beside_it(text: str, shape: str, wanted: str) -> None:
    line = {"leef": {"vendor": "Example"}, "attributes": {"devTime": text, "devTimeFormat": shape}}
    assert FUNCTIONS["zoned"](line)["attributes"]["devTime"] == wanted


@pytest.mark.parametrize(
    ("number", "word"),
    [("0", "low"), ("3", "low"), ("4", "medium"), ("6", "medium"), ("7", "high"), ("8", "high"), ("9", "critical"),
     ("10", "critical"), ("Very-High", "critical"), ("Unknown", "unknown")],
)  # fmt: skip
def test_severity_follows_the_documented_steps(number: str, word: str) -> None:
    assert FUNCTIONS["level"](number) == word


@pytest.mark.parametrize("said", ["11", "-1", "eleven", "nan"])
def test_a_severity_in_no_table_is_wrong(said: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the reader of mappings reports it, whatever it says
        FUNCTIONS["level"](said)


def test_the_end_outside_of_a_grave_line_attacks_the_end_inside() -> None:
    inward, outward = _line(src="203.0.113.9", dst="10.0.0.9"), _line(src="10.0.0.9", dst="203.0.113.9")
    assert FUNCTIONS["attacks"](inward, "source")
    assert FUNCTIONS["suffers"](inward, "destination")
    assert FUNCTIONS["attacks"](outward, "destination")
    assert FUNCTIONS["suffers"](outward, "source")
    assert FUNCTIONS["unnamed"](outward, "source") == "10.0.0.9"


@pytest.mark.parametrize(
    "line",
    [
        _line("2", src="203.0.113.9", dst="10.0.0.9"),
        _line("9", src="10.0.0.8", dst="10.0.0.9"),
        _line("9", src="203.0.113.9", dst="198.51.100.9"),
        _line("9", src="203.0.113.9"),
    ],
)
def test_nobody_attacks_in_a_quiet_line_or_where_both_ends_are_alike(line: dict[str, Any]) -> None:
    assert not any(FUNCTIONS[name](line, side) for name in ("attacks", "suffers") for side in ("source", "destination"))


def test_the_name_of_an_end_outside_is_a_site_and_that_of_one_inside_a_host() -> None:
    line = _line(src="10.0.0.9", shost="nb-1.example.com", dst="203.0.113.9", dhost="c2.example.net")
    assert FUNCTIONS["host"](line, "source") == "nb-1.example.com"
    assert FUNCTIONS["site"](line, "source") is None
    assert FUNCTIONS["host"](line, "destination") is None
    assert FUNCTIONS["site"](line, "destination") == "c2.example.net"


def test_a_line_is_about_its_device_only_when_it_names_no_end() -> None:
    assert FUNCTIONS["lonely"](_line(dvc="10.0.0.9"))
    assert FUNCTIONS["lonely"](_line(shost="nb-1")) is None
    assert FUNCTIONS["unnamed_device"](_line(dvc="10.0.0.9")) == "10.0.0.9"
    assert FUNCTIONS["unnamed_device"](_line(dvc="10.0.0.9", dvchost="nb-1")) is None


def test_an_id_is_the_vendors_and_a_digest_where_there_is_none() -> None:
    assert FUNCTIONS["line_id"](_line(externalId="A-7")) == "A-7"
    assert FUNCTIONS["line_id"](_line(externalId="0", eventId="99")) == "99"
    one, other = _line(src="10.0.0.9"), _line(src="10.0.0.8")
    assert FUNCTIONS["line_id"](one) == FUNCTIONS["line_id"](copy.deepcopy(one))
    assert FUNCTIONS["line_id"](one) != FUNCTIONS["line_id"](other)


def test_the_number_of_a_session_is_no_id() -> None:
    line = _line(externalId="718221")
    line["cef"]["device_vendor"] = "Fortinet"
    assert FUNCTIONS["line_id"](line).startswith("sha256:")


def test_labels_tell_hashes_malware_techniques_and_weaknesses() -> None:
    line = _line(fileHash="not a hash") | {
        "custom": {
            "SHA-256": "ab" * 32, "Parent process sha256": "cd" * 32, "Virus": "W32/Example",
            "MITRE Technique": "T1190, TA0001", "Note": "CVE-2026-10001 and cve-2026-10002", "Reason": "T9999",
        }
    }  # fmt: skip
    assert FUNCTIONS["hashes"](line) == ["ab" * 32]
    assert FUNCTIONS["malware_name"](line) == "W32/Example"
    assert FUNCTIONS["attack_ids"](line) == ["T1190"]
    assert FUNCTIONS["tactic_ids"](line) == ["TA0001"]
    assert FUNCTIONS["cves"](line) == ["CVE-2026-10001", "CVE-2026-10002"]


def test_a_virus_field_that_says_none_names_no_malware() -> None:
    assert FUNCTIONS["malware_name"]({"custom": {"Virus": "None"}}) is None


@pytest.mark.parametrize(
    ("path", "name", "wanted"),
    [("/srv/a", "b.sh", "/srv/a/b.sh"), ("C:\\T", "b.exe", "C:\\T\\b.exe"), ("/srv/a/b.sh", "b.sh", "/srv/a/b.sh")],
)
def test_a_name_is_put_behind_its_path_once(path: str, name: str, wanted: str) -> None:
    assert FUNCTIONS["whole_path"](_line(filePath=path, fname=name)) == wanted


@pytest.mark.parametrize("value", STRANGE)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_value_breaks_a_function(name: str, value: Any) -> None:
    if name == "zoned":
        value = value if isinstance(value, dict) else {"extension": value}
    try:
        FUNCTIONS[name](value, *(["source"] if name in SIDED else []))
    except (TypeError, ValueError):
        assert name == "level"

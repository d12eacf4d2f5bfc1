import pytest

from nightdesk.normalizers.carbon_black_cloud.functions import FUNCTIONS


def test_the_last_change_is_anybody_s() -> None:
    record = {
        "backend_update_timestamp": "2026-03-02T14:28:24.337Z",
        "user_update_timestamp": "null",
        "workflow": {"change_timestamp": "2026-03-03T08:00:00Z"},
        "determination": {"change_timestamp": "2026-03-03T08:00:00.500Z"},
    }
    assert FUNCTIONS["changed"](record) == "2026-03-03T08:00:00.500Z"
    assert FUNCTIONS["changed"]({"workflow": {"last_update_time": "2026-03-01T00:00:00Z"}}) == "2026-03-01T00:00:00Z"
    assert FUNCTIONS["changed"]({"workflow": "OPEN"}) is None


@pytest.mark.parametrize(
    ("text", "technique"),
    [
        ("MITRE_T1059_CMD_LINE_OR_SCRIPT_INTER", "T1059"),
        ("MITRE_T1218_011_RUNDLL32", "T1218.011"),
        ("https://attack.mitre.org/techniques/T1003/003/", "T1003.003"),
        ("https://attack.mitre.org/techniques/T1003", "T1003"),
        ("https://example.org/techniques/T1003", None),
        ("KNOWN_APP", None),
        (7, None),
    ],
)
def test_a_technique_is_found_where_the_product_writes_it(text: object, technique: str | None) -> None:
    assert FUNCTIONS["technique"](text) == technique


@pytest.mark.parametrize(
    ("reputation", "convicted"),
    [
        ("KNOWN_MALWARE", True),
        ("rep_black", True),
        ("SUSPECT_MALWARE", None),
        ("NOT_LISTED", None),
        (None, None),
        (1, None),
    ],
)
def test_only_a_sure_reputation_convicts(reputation: object, convicted: bool | None) -> None:
    assert FUNCTIONS["convicts"](reputation) is convicted


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("defense.example.net/alerts?s[c]=   id:1", "https://defense.example.net/alerts?s[c]=id:1"),
        ("https://defense.example.net/a", "https://defense.example.net/a"),
        ("defense.example.net/a?next=http://x", "https://defense.example.net/a?next=http://x"),
        ("  ", None),
        (7, None),
    ],
)
def test_a_link_to_the_console_has_a_scheme(written: object, read: str | None) -> None:
    assert FUNCTIONS["absolute"](written) == read


def test_a_hit_is_known_by_process_report_and_indicator() -> None:
    hit = {"process_guid": "P", "report_id": "R", "ioc_id": "I-0"}
    assert FUNCTIONS["hit_id"](hit) == "P:R:I-0"
    assert FUNCTIONS["hit_id"]({**hit, "report_id": ""}) is None
    assert FUNCTIONS["hit_id"]([]) is None

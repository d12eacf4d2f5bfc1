from typing import Any

import pytest

from nightdesk.normalizers.elastic_security.functions import FUNCTIONS

WRONG_SHAPES: list[Any] = [
    None,
    "",
    "text",
    7,
    1.5,
    True,
    [],
    {},
    [{}],
    {"type": None},
    {"event_id": {}},
    {"score": "x"},
]


@pytest.mark.parametrize(
    ("event", "word"),
    [
        ({"type": ["info", "denied"], "outcome": "success"}, "prevented"),
        ({"type": "denied", "outcome": "success"}, "prevented"),
        ({"type": ["info", "denied"], "outcome": "failure"}, None),
        ({"type": ["denied"]}, None),
        ({"type": ["info", "allowed"], "outcome": "success"}, None),
    ],
)
def test_only_a_denial_that_succeeded_is_a_prevention(event: dict[str, Any], word: str | None) -> None:
    assert FUNCTIONS["stopped"](event) == word


def test_a_document_changed_at_the_latest_of_its_own_times() -> None:
    alert = {
        "start": "2026-11-20T08:00:00.000Z",
        "last_detected": "2026-11-20T09:00:00.000Z",
        "workflow_status_updated_at": "2026-11-20T10:00:00.000+01:00",
        "suppression": {"end": "2026-11-20T09:30:00.5Z"},
        "updated_at": "nonsense",
    }
    assert FUNCTIONS["changed"](alert) == "2026-11-20T09:30:00.5Z"
    assert FUNCTIONS["changed"]({"updated_at": "nonsense"}) is None


def test_suppressed_repetitions_count_the_alert_itself() -> None:
    assert FUNCTIONS["and_one"](4) == 5
    assert FUNCTIONS["and_one"]("four") == "four"
    assert FUNCTIONS["and_one"](True) is True


def test_sysmons_hashes_belong_to_the_event_they_came_with() -> None:
    log = {"event_id": 7, "event_data": {"Hashes": "MD5=AB,SHA256=CD, IMPHASH=EF"}}
    assert FUNCTIONS["hashes_of"](log, "6", "7") == ["AB", "CD"]
    assert FUNCTIONS["hashes_of"](log, "1") == []


@pytest.mark.parametrize(
    ("classification", "word"),
    [
        ({"score": 0.9, "threshold": 0.58}, "malicious"),
        ({"score": 0.58, "threshold": 0.58}, "malicious"),
        ({"score": 0.57, "threshold": 0.58}, None),
        ({"score": 0.9}, None),
    ],
)
def test_a_score_convicts_from_its_threshold_on(classification: dict[str, Any], word: str | None) -> None:
    assert FUNCTIONS["convicts"](classification) == word


def test_a_registry_key_is_its_hive_and_key_without_the_value() -> None:
    whole = {"hive": "HKLM", "key": "Software\\Run", "path": "HKLM\\Software\\Run\\Updater", "value": "Updater"}
    assert FUNCTIONS["key_of"](whole) == "HKLM\\Software\\Run"
    assert FUNCTIONS["key_of"]({"path": "HKLM\\Software\\Run"}) == "HKLM\\Software\\Run"


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"and_one"}))
@pytest.mark.parametrize("value", WRONG_SHAPES, ids=repr)
def test_an_unforeseen_shape_gives_nothing(name: str, value: Any) -> None:
    assert not FUNCTIONS[name](value)

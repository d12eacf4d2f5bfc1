import copy

import pytest

from nightdesk.normalizers.paloalto_cortex_xdr.functions import FUNCTIONS


def test_events_spread_over_an_alert_are_put_together() -> None:
    alert = {
        "alert_id": "1",
        "action": "BLOCKED",
        "action_pretty": "Prevented (Blocked)",
        "event_id": ["E1", "E2"],
        "actor_process_image_name": ["a.exe"],
        "user_name": "ida",
    }
    before = copy.deepcopy(alert)
    made = FUNCTIONS["with_events"](alert)
    assert made == {
        "alert_id": "1",
        "action": "BLOCKED",
        "action_pretty": "Prevented (Blocked)",
        "events": [
            {"event_id": "E1", "actor_process_image_name": "a.exe", "user_name": "ida"},
            {"event_id": "E2", "actor_process_image_name": None, "user_name": "ida"},
        ],
    }
    assert alert == before


def test_an_alert_with_events_or_without_any_stays_as_it_is() -> None:
    listed = {"alert_id": "1", "events": [{"event_id": "E1"}], "user_name": "ida"}
    assert FUNCTIONS["with_events"](listed) is listed
    empty: dict[str, object] = {"alert_id": "1", "event_id": None, "actor_process_image_name": []}
    assert FUNCTIONS["with_events"](empty) is empty


@pytest.mark.parametrize(
    ("word", "plain", "state"),
    [
        ("STATUS_010_NEW", "new", "new"),
        ("STATUS_060_RESOLVED_FALSE_POSITIVE", "resolved_false_positive", "resolved"),
        ("resolved_by_something_new", "resolved_by_something_new", "resolved"),
        ("under_investigation", "under_investigation", "under_investigation"),
        ("", None, None),
        (7, None, None),
    ],
)
def test_a_status_is_told_by_its_word(word: object, plain: str | None, state: str | None) -> None:
    assert FUNCTIONS["plain"](word) == plain
    assert FUNCTIONS["state"](word) == state


def test_a_description_of_tokens_is_read_in_order() -> None:
    tokens = [
        {"pretty_name": "Registry"},
        {"pretty_name": " = "},
        {"pretty_name": None},
        7,
        {"pretty_name": "Set Value"},
    ]
    assert FUNCTIONS["sentence"](tokens) == "Registry = Set Value"
    assert FUNCTIONS["sentence"](" as it is ") == "as it is"
    assert FUNCTIONS["sentence"]([]) is None
    assert FUNCTIONS["sentence"]({"a": 1}) is None


@pytest.mark.parametrize("nothing", ["N/A", "unknown", "NO_HOST", "-", "", None, ["a"]])
def test_words_for_nothing_are_nothing(nothing: object) -> None:
    assert FUNCTIONS["known"](nothing) is None


@pytest.mark.parametrize(
    ("text", "name", "uid"),
    [
        ("ws-7:98a8", "ws-7", "98a8"),
        ("ws-7", "ws-7", None),
        ("ws-7:", "ws-7", None),
        ("2001:db8::7", "2001:db8::7", None),
    ],
)
def test_a_host_of_an_incident_has_a_name_and_perhaps_an_id(text: str, name: str, uid: str | None) -> None:
    assert FUNCTIONS["host"](text, "name") == name
    assert FUNCTIONS["host"](text, "id") == uid


def test_a_host_that_is_no_text_is_told() -> None:
    with pytest.raises(TypeError, match="text"):
        FUNCTIONS["host"]({"name": "ws-7"}, "name")


@pytest.mark.parametrize(
    ("artifact", "bad"),
    [
        ({"is_malicious": True}, True),
        ({"file_wildfire_verdict": "malware"}, True),
        ({"file_wildfire_verdict": "GRAYWARE", "is_malicious": False}, None),
        ({"is_malicious": "yes"}, None),
        ("x", None),
    ],
)
def test_an_artifact_is_convicted_only_by_the_vendor(artifact: object, bad: bool | None) -> None:
    assert FUNCTIONS["malicious"](artifact) is bad

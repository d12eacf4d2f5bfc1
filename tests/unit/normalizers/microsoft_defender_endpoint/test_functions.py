"""The evidence of Defender for Endpoint is marked by what was detected, and convicted by antivirus alone."""

import copy
from typing import Any

import pytest

from nightdesk.normalizers.microsoft_defender_endpoint.functions import FUNCTIONS


def _read(source: str, *evidence: Any) -> dict[str, Any]:
    made: dict[str, Any] = FUNCTIONS["evidence_read"]({"detectionSource": source, "evidence": list(evidence)})
    return made


def test_antivirus_convicts_the_file_it_found() -> None:
    assert _read("WindowsDefenderAv", {"entityType": "File"})["evidence"][0]["convicted"] == "file"


def test_the_sensor_detects_and_convicts_nothing() -> None:
    piece = _read("WindowsDefenderAtp", {"entityType": "File", "detectionStatus": "Detected"})["evidence"][0]
    assert (piece["detected"], "convicted" in piece) == ("file", False)


def test_a_file_that_only_belongs_to_the_story_is_not_detected() -> None:
    assert "detected" not in _read("WindowsDefenderAtp", {"entityType": "File"})["evidence"][0]


@pytest.mark.parametrize(
    ("states", "stopped"),
    [(["Blocked"], "blocked"), (["Prevented", "Detected"], None), ([None, "Prevented"], "prevented")],
)
def test_something_is_stopped_only_when_all_that_was_detected_was(states: list[Any], stopped: str | None) -> None:
    pieces = [{"entityType": "File", "detectionStatus": state} for state in states]
    assert _read("WindowsDefenderAtp", *pieces)["stopped"] == stopped


def test_paths_and_keys_are_put_together() -> None:
    raw = {"filePath": "C:\\T", "fileName": "a.dll", "registryHive": "HKEY_CURRENT_USER", "registryKey": "Run"}
    piece = _read("x", raw)["evidence"][0]
    assert (piece["filePath"], piece["registryKey"]) == ("C:\\T\\a.dll", "HKEY_CURRENT_USER\\Run")


@pytest.mark.parametrize("odd", [None, 5, "x", {"a": 1}, [None, 5, "x", [], {"entityType": [1], "filePath": 7}]])
def test_anything_may_stand_there_and_the_document_is_never_changed(odd: Any) -> None:
    document = {"detectionSource": ["WindowsDefenderAv"], "evidence": odd}
    before = copy.deepcopy(document)
    assert isinstance(FUNCTIONS["evidence_read"](document), dict)
    assert document == before


def test_a_guest_has_the_address_of_home() -> None:
    assert FUNCTIONS["mail_of"]("a_b_example.com#EXT#@t.example.org") == "a_b@example.com"

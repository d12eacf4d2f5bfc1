from typing import Any

import pytest

from nightdesk.stix.egress.taxii import undelivered

INCIDENT = {"id": "incident--1", "created": "2026-11-20T09:00:00.000Z", "modified": "2026-11-20T09:05:00.500Z"}
MARKING = {"id": "marking-definition--1", "created": "2022-10-01T00:00:00.000Z"}
ADDRESS = {"id": "ipv4-addr--1", "value": "192.0.2.1"}
PUSHED = [INCIDENT, MARKING, ADDRESS]


def _asked(versions: dict[str, list[str]], status: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What did not arrive, and what the server was asked about."""
    asked: list[str] = []

    def stored(ref: str) -> list[str]:
        asked.append(ref)
        return versions.get(ref, [])

    return undelivered(PUSHED, status, stored), asked


def test_without_failures_nothing_is_asked() -> None:
    assert _asked({}, {"success_count": 3, "failure_count": 0}) == ([], [])
    assert _asked({}, {}) == ([], [])


def test_what_is_there_in_this_version_arrived() -> None:
    versions = {
        "incident--1": ["2026-11-20T09:00:00.000Z", "2026-11-20T09:05:00.5Z"],
        "marking-definition--1": ["2022-10-01T00:00:00Z"],
        "ipv4-addr--1": ["2026-11-22T10:00:00.000000Z"],
    }
    assert _asked(versions, {"failure_count": 3}) == ([], ["incident--1", "marking-definition--1", "ipv4-addr--1"])


@pytest.mark.parametrize("versions", [{}, {"incident--1": ["2026-11-20T09:00:00.000Z"]}])
def test_another_version_or_none_is_not_this_one(versions: dict[str, list[str]]) -> None:
    status = {"failure_count": 1, "failures": [{"id": "incident--1", "version": "x"}]}
    assert _asked(versions, status) == (["incident--1"], ["incident--1"])


def test_failures_that_are_not_all_named_are_all_looked_for() -> None:
    lost, asked = _asked({}, {"failure_count": 2, "failures": [{"id": "ipv4-addr--1"}]})
    assert len(lost) == len(asked) == 3

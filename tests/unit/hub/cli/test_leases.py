"""Commands on what is in force: leased, kept longer, taken back one by one, by case, and all of a tenant's."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.desks import CASE, Desktop
from tests.hubs import run_cli

from nightdesk.sdk.testing import StoryDevice

HOSTS = ("ws-0042", "ws-0043")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    with ExitStack() as stack:
        made = Desktop(stack, tmp_path, ["edr"])
        made.simulators["edr"].add_devices([StoryDevice("dev-2", "ws-0043", ("192.0.2.43",))])
        yield made


def asked(desk: Desktop, *words: str, code: int = 0) -> Any:
    found = run_cli(*words, "--tenant", "acme", "--as", "ann", "--config", desk.config, "--json")
    assert found.exit_code == code, found.output
    return json.loads(found.stdout)


def isolated(desk: Desktop) -> set[str]:
    desk.simulators["edr"].fleet.settle()
    return {device.hostname.lower() for device in desk.simulators["edr"].fleet.devices.values() if device.isolated}


def contain(desk: Desktop, host: str, *words: str) -> dict[str, Any]:
    made: dict[str, Any] = asked(desk, "act", "host.isolate", f"host:{host}", "--case", CASE, *words)
    return made


def test_an_action_is_leased_for_the_minutes_given_and_kept_longer(desk: Desktop) -> None:
    leased = contain(desk, HOSTS[0], "--lease", "30")
    assert leased["state"] == "leased"
    longer = asked(desk, "renew", leased["action_id"], "--hours", "2")
    assert longer["state"] == "renewed"
    assert datetime.fromisoformat(longer["lease_until"]) > datetime.fromisoformat(leased["lease_until"])
    refused = asked(desk, "renew", leased["action_id"], "--hours", "3", code=1)
    assert "another person" in refused["error"]


def test_a_dry_run_says_the_lease(desk: Desktop) -> None:
    assert contain(desk, HOSTS[0], "--lease", "30", "--dry-run")["lease_seconds"] == 1800
    assert isolated(desk) == set()


def test_a_case_is_taken_back_newest_first_and_a_scan_stops_nothing(desk: Desktop) -> None:
    first, second = (contain(desk, host) for host in HOSTS)
    scan = asked(desk, "act", "host.restrict_execution", f"host:{HOSTS[0]}", "--case", CASE, code=1)
    assert isolated(desk) == set(HOSTS)
    taken = asked(desk, "undo", "--case", CASE, "--all")
    assert [one["action_id"] for one in taken] == [second["action_id"], first["action_id"]]
    assert {one["state"] for one in taken} == {"undone"}
    assert scan["state"] == "failed"  # this vendor restricts nothing: what never was is not asked to be undone
    assert isolated(desk) == set()
    assert asked(desk, "undo", "--case", CASE, "--all") == []


def test_a_whole_tenant_is_taken_back_only_when_that_is_meant(desk: Desktop) -> None:
    for host in HOSTS:
        contain(desk, host)
    assert "--yes" in asked(desk, "undo", "--all", code=2)["error"]
    assert isolated(desk) == set(HOSTS)
    assert {one["state"] for one in asked(desk, "undo", "--all", "--yes")} == {"undone"}
    assert isolated(desk) == set()


def test_what_is_undone_is_named(desk: Desktop) -> None:
    assert "name one action" in asked(desk, "undo", code=2)["error"]
    assert "name one action" in asked(desk, "undo", "act-1", "--case", CASE, code=2)["error"]

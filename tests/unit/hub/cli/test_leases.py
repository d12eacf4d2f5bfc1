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


def test_a_case_that_nobody_knows_is_no_case_with_nothing_to_do(desk: Desktop) -> None:
    """A slip of the pen must not read as a host that is free."""
    told = asked(desk, "undo", "--case", "CASE-2026-999999", "--all", code=1)
    assert "acme: no case CASE-2026-999999" in told["error"]
    assert "nightdesk cases" in told["error"]


def test_an_undo_that_is_refused_is_told_at_once_and_not_after_the_whole_wait(desk: Desktop) -> None:
    leased = contain(desk, HOSTS[0])
    desk.simulators["edr"].faults.add("missing_scope")
    found = asked(desk, "undo", leased["action_id"], "--wait", "3600", code=1)
    assert found["state"] == "undo_failed"
    assert "not undone" in found["error"]


def test_what_another_case_keeps_is_said_of_a_single_undo_too(desk: Desktop) -> None:
    first = contain(desk, HOSTS[0])
    second = asked(desk, "act", "host.isolate", f"host:{HOSTS[0]}", "--case", "CASE-2026-000002")
    shown = run_cli("undo", first["action_id"], "--tenant", "acme", "--as", "ann", "--config", desk.config)
    assert shown.exit_code == 0
    assert "left as it is" in shown.stdout
    assert second["action_id"] in shown.stdout
    assert isolated(desk) == {HOSTS[0]}


def test_twice_undone_is_undone_and_another_tenants_action_is_unknown(desk: Desktop) -> None:
    made = contain(desk, HOSTS[0])
    assert [asked(desk, "undo", made["action_id"])["state"] for _ in range(2)] == ["undone", "undone"]
    assert "no action act-nobody" in asked(desk, "undo", "act-nobody", code=1)["error"]


def test_before_a_whole_tenant_is_taken_back_people_hear_how_much_that_is(desk: Desktop) -> None:
    for host in HOSTS:
        contain(desk, host)
    line = ("undo", "--all", "--tenant", "acme", "--as", "ann", "--config", desk.config)
    refused = run_cli(*line)
    assert refused.exit_code != 0
    assert "Take back 2 actions of acme" in refused.stderr
    assert isolated(desk) == set(HOSTS)


def test_one_that_cannot_be_reached_is_left_and_the_others_are_free(desk: Desktop) -> None:
    away, there = (contain(desk, host) for host in HOSTS)
    edr = desk.simulators["edr"]
    (device,) = [one.device_id for one in edr.fleet.devices.values() if one.hostname.lower() == HOSTS[0]]
    edr.faults.add("offline_host", options={"device_id": device})
    told = {one["action_id"]: one for one in asked(desk, "undo", "--case", CASE, "--all", "--wait", "1", code=1)}
    assert (told[there["action_id"]]["state"], told[there["action_id"]]["left"]) == ("undone", False)
    assert (told[away["action_id"]]["state"], told[away["action_id"]]["left"]) == ("undo_requested", True)
    assert isolated(desk) == {HOSTS[0]}


@pytest.mark.parametrize("number", ["nan", "inf", "1e300", "-1"])
@pytest.mark.parametrize("option", ["--hours", "--wait", "--lease"])
def test_a_time_that_is_none_is_a_clear_answer(desk: Desktop, option: str, number: str) -> None:
    """Law 12."""
    command = {
        "--hours": ("renew", "act-1"),
        "--wait": ("undo", "act-1"),
        "--lease": ("act", "host.isolate", f"host:{HOSTS[0]}"),
    }[option]
    found = run_cli(*command, option, number, "--tenant", "acme", "--as", "ann", "--config", desk.config)
    assert found.exit_code == 2, found.output
    assert option in found.stderr
    assert isolated(desk) == set()


def test_what_is_held_is_listed_by_its_end_with_what_is_owed_first(desk: Desktop) -> None:
    forever = contain(desk, HOSTS[0])
    soon = contain(desk, HOSTS[1], "--lease", "30")
    listed = run_cli("leases", "--tenant", "acme", "--config", desk.config, "--json")
    assert listed.exit_code == 0, listed.output
    rows = json.loads(listed.stdout)
    assert [one["action_id"] for one in rows] == [soon["action_id"], forever["action_id"]]
    assert rows[0]["ends_at"].endswith("Z")
    assert 1700 < rows[0]["seconds_left"] <= 1800
    assert (rows[1]["ends_at"], rows[1]["seconds_left"]) == (None, None)
    shown = run_cli("leases", "--tenant", "acme", "--config", desk.config)
    assert shown.exit_code == 0
    assert "in 29 min" in shown.stdout
    assert "never" in shown.stdout
    assert "UTC" in shown.stdout
    assert "nightdesk renew" in shown.stdout
    asked(desk, "undo", soon["action_id"])
    rows = json.loads(run_cli("leases", "--tenant", "acme", "--config", desk.config, "--json").stdout)
    assert [one["action_id"] for one in rows] == [forever["action_id"]]


@pytest.mark.parametrize("command", [("renew", "act-1"), ("undo", "act-1"), ("act", "host.isolate", "host:ws-0042")])
@pytest.mark.parametrize("nobody", ["", "  "])
def test_who_does_it_has_a_name(desk: Desktop, command: tuple[str, ...], nobody: str) -> None:
    found = run_cli(*command, "--as", nobody, "--tenant", "acme", "--config", desk.config)
    assert found.exit_code == 2, found.output
    assert "say who you are" in found.stderr
    assert isolated(desk) == set()

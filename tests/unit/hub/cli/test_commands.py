import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hubs import REGISTRY, VENDORS, a_story_alert, bind, opened, run_cli

from nightdesk.hub.store import intake
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing import Simulator, serve

_EDR = next(
    name
    for name in VENDORS
    if "host.isolate" in REGISTRY.manifests[name].acts and "alerts" in REGISTRY.manifests[name].pulls
)


@dataclass
class Office:
    """A configuration bound to one served EDR with two alerts that were taken in."""

    config: Path
    simulator: Simulator
    natives: list[str]

    def run(self, *arguments: str) -> tuple[int, Any]:
        """A command with --json: exit code and document."""
        result = run_cli(*arguments, "--tenant", "acme", "--config", self.config, "--json")
        return result.exit_code, json.loads(result.stdout)

    @property
    def isolated(self) -> list[str]:
        self.simulator.fleet.settle()
        return [one.hostname for one in self.simulator.fleet.devices.values() if one.isolated]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    import asyncio

    simulator = REGISTRY.simulator(_EDR)()
    stories = [a_story_alert(f"alert-{number}", utc_now(), number) for number in range(2)]
    natives = [simulator.add(story) for story in stories]
    simulator.add_devices([story.device for story in stories if story.device])
    with serve(simulator) as served:
        config = bind(tmp_path / "acme", "acme", {"edr": (simulator, served.base_url)})
        with opened(config) as hub:

            async def go() -> None:
                await hub.once()
                await hub.bindings.aclose()

            asyncio.run(go())
        yield Office(config, simulator, natives)


def test_vendors_are_listed_from_their_manifests() -> None:
    result = run_cli("vendors", "--json")
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert set(VENDORS) <= set(rows)
    for vendor in VENDORS:
        manifest = REGISTRY.manifests[vendor]
        assert rows[vendor]["pulls"] == sorted(manifest.pulls)
        assert rows[vendor]["acts"] == sorted(manifest.acts)
        assert rows[vendor]["tier"] in {"none", "bronze", "silver", "gold", "platinum"}
    assert VENDORS[0] in run_cli("vendors").stdout


def test_the_version_is_printed() -> None:
    from nightdesk import __version__

    assert run_cli("--version").stdout.strip() == __version__


def test_init_makes_a_configuration_that_checks_and_never_twice(tmp_path: Path) -> None:
    made = run_cli("init", tmp_path, "--tenant", "acme", "--name", "Acme", "--json")
    assert made.exit_code == 0
    config = json.loads(made.stdout)["config"]
    checked = run_cli("config", "check", "--config", config, "--json")
    assert (checked.exit_code, json.loads(checked.stdout)) == (0, {"ok": True, "tenants": {"acme": []}})
    again = run_cli("init", tmp_path, "--tenant", "acme", "--json")
    assert again.exit_code == 2
    assert "not overwritten" in json.loads(again.stdout)["problems"][0]["message"]


def test_config_check_names_every_problem_with_its_key(tmp_path: Path) -> None:
    run_cli("init", tmp_path, "--tenant", "acme")
    config = tmp_path / "nightdesk.yaml"
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["tenants"]["acme"]["connectors"] = {"a": {"vendor": "no_such"}, "b": {"vendor": "nor_this"}}
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    result = run_cli("config", "check", "--config", config, "--json")
    assert result.exit_code == 2
    keys = {problem["key"] for problem in json.loads(result.stdout)["problems"]}
    assert keys == {"tenants.acme.connectors.a.vendor", "tenants.acme.connectors.b.vendor"}
    assert "no_such" in result.stderr
    assert json.loads(run_cli("config", "schema").stdout)["properties"]["tenants"]


def test_a_policy_is_signed_by_a_new_signer_and_a_bad_one_refused(tmp_path: Path) -> None:
    run_cli("init", tmp_path, "--tenant", "acme")
    policy = tmp_path / "policies" / "acme.yaml"
    assert run_cli("policy", "keygen", "carol", "--out", tmp_path, "--json").exit_code == 0
    signed = run_cli("policy", "sign", policy, "--as", "carol", "--key", tmp_path / "carol.pem", "--json")
    assert signed.exit_code == 0
    checked = run_cli("policy", "check", policy, "--json")
    assert json.loads(checked.stdout)["policy_id"] == json.loads(signed.stdout)["policy_id"]
    policy.write_text("rules: 7\n", encoding="utf-8")
    for command in (("check", policy), ("sign", policy, "--as", "carol", "--key", tmp_path / "carol.pem")):
        refused = run_cli("policy", *command, "--json")
        assert refused.exit_code == 2
        assert json.loads(refused.stdout)["problems"]


def test_normalize_says_with_its_exit_code_what_became_of_the_files(office: Office, tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "out"
    with opened(office.config) as hub, hub.store.read() as conn:
        from sqlalchemy import select

        from nightdesk.hub.store.schema import inbox_payload

        good.write_bytes(conn.execute(select(inbox_payload.c.payload).limit(1)).scalar_one())
    bad.write_text('{"cut": ', encoding="utf-8")
    product = next(iter(REGISTRY.manifests[_EDR].pulls.values())).product

    def normalize(*files: Path, product: str = product) -> Any:
        return run_cli("normalize", product, *files, "--tenant", "acme", "--out", out, "--json")

    done = normalize(good)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["normalised"] == 1
    assert json.loads((out / "good.bundle.json").read_text(encoding="utf-8"))["type"] == "bundle"
    assert json.loads((out / "good.loss.json").read_text(encoding="utf-8"))["product"] == product
    some = normalize(good, bad, product="auto")
    assert some.exit_code == 3
    summary = json.loads(some.stdout)
    assert (summary["normalised"], summary["quarantined"]) == (1, 1)
    (line,) = (out / "quarantine.ndjson").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["file"] == str(bad)
    assert json.loads(line)["pointer"]
    assert normalize(tmp_path / "missing.json").exit_code == 2
    assert normalize(good, product="no_such_product").exit_code == 2


def test_the_ledger_balances_and_cases_are_shown(office: Office) -> None:
    code, rows = office.run("ledger")
    assert code == 0
    assert sum(row["received"] for row in rows) == 2
    assert all(row["balanced"] for row in rows)
    code, cases = office.run("cases")
    assert code == 0
    assert cases
    code, page = office.run("cases", "show", cases[0]["case_id"])
    assert code == 0
    assert page["case"]["case_id"] == cases[0]["case_id"]
    assert page["decisions"]
    stix = run_cli("cases", "show", cases[0]["case_id"], "--tenant", "acme", "--config", office.config, "--stix")
    assert json.loads(stix.stdout)["type"] == "bundle"
    code, problem = office.run("cases", "show", "no-such-case")
    assert code == 1
    assert "no-such-case" in problem["error"]


def test_an_unknown_tenant_is_told_which_there_are(office: Office) -> None:
    result = run_cli("cases", "--tenant", "umbrella", "--config", office.config, "--json")
    assert result.exit_code == 2
    assert "acme" in json.loads(result.stdout)["problems"][0]["message"]


def test_a_host_is_isolated_and_released_at_the_vendor_itself(office: Office) -> None:
    code, action = office.run("act", "host.isolate", "host:WS-0001", "--as", "ann", "--reason", "test")
    assert (code, action["state"], action["instance"]) == (0, "effective", "edr")
    assert office.isolated == ["WS-0001"]
    code, undone = office.run("undo", action["action_id"], "--as", "bob")
    assert (code, undone["state"]) == (0, "undone")
    assert office.isolated == []


def test_the_openc2_command_of_an_action_is_shown_and_nothing_is_done(office: Office) -> None:
    code, command = office.run(
        "act", "host.isolate", "host:WS-0001", "--as", "ann", "--param", "mode=full", "--openc2"
    )  # fmt: skip
    assert code == 0
    assert command == {
        "action": "contain",
        "target": {"device": {"hostname": "ws-0001"}},
        "args": {"x-nightdesk": {"mode": "full"}},
    }
    assert office.isolated == []
    code, problem = office.run("act", "host.melt", "host:WS-0001", "--as", "ann", "--openc2")
    assert code == 1
    assert "host.isolate" in problem["error"]


def test_a_case_shows_the_openc2_command_of_each_action(office: Office) -> None:
    _, cases = office.run("cases")
    case_id = cases[0]["case_id"]
    _, action = office.run("act", "host.scan", "host:WS-0001", "--as", "ann", "--case", case_id, "--wait", "0")
    _, page = office.run("cases", "show", case_id)
    assert set(page["openc2"]) == {one["action_id"] for one in page["actions"]}
    command = page["openc2"][action["action_id"]]
    assert (command["action"], command["target"]) == ("scan", {"device": {"hostname": "ws-0001"}})
    assert command["args"]["x-nightdesk"]["case"] == case_id


def test_what_cannot_be_done_is_an_exit_code_and_a_reason(office: Office) -> None:
    code, action = office.run("act", "host.isolate", "host:WS-9999", "--as", "ann")
    assert (code, action["state"]) == (1, "failed")
    assert "ws-9999" in action["error"]
    code, problem = office.run("act", "host.isolate", "host:*", "--as", "ann")
    assert code == 1
    assert "everything" in problem["error"] or "many" in problem["error"]
    code, problem = office.run("undo", "no-such-action", "--as", "bob")
    assert code == 1
    assert "no-such-action" in problem["error"]
    assert run_cli("undo", "--tenant", "acme", "--as", "bob", "--config", office.config).exit_code == 2


def test_an_alert_is_closed_where_it_came_from(office: Office) -> None:
    code, action = office.run(
        "act", "alert.set_disposition", f"alert:{office.natives[0]}", "--as", "ann", "--connector", "edr",
        "--param", "status=closed", "--param", "disposition=false-positive",
    )  # fmt: skip
    assert (code, action["state"]) == (0, "effective")
    assert office.simulator.alert_state(office.natives[0])["status"] == "closed"
    assert office.simulator.alert_state(office.natives[1])["status"] == "open"


def test_the_quarantine_is_listed_and_put_back(office: Office) -> None:
    assert office.run("quarantine") == (0, [])
    with opened(office.config) as hub:
        with hub.store.begin() as conn:
            stream, spec = next(iter(REGISTRY.manifests[_EDR].pulls.items()))
            intake.store_page(
                conn, tenant="acme", instance="edr", stream=stream, product=spec.product,
                batch=Batch([RawRecord(b"{", "broken")], None), received_at=utc_now(),
            )  # fmt: skip
        hub.pipeline.step()
    code, rows = office.run("quarantine")
    assert code == 0
    assert [(row["key"], bool(row["reason"]), "payload" in row) for row in rows] == [("broken", True, False)]
    assert office.run("quarantine", "replay") == (0, {"replayed": 1})
    assert office.run("quarantine") == (0, [])


def test_vendors_check_asks_the_vendor(office: Office) -> None:
    code, rows = office.run("vendors", "check")
    assert (code, [(row["connector"], row["ok"]) for row in rows]) == (0, [("edr", True)])
    office.simulator.faults.add("expired_token")
    code, rows = office.run("vendors", "check")
    assert code == 1
    assert rows[0]["problems"]
    code, problem = office.run("vendors", "check", "no_such")
    assert code == 2
    assert "edr" in problem["error"]


def test_a_simulator_is_served_for_as_long_as_asked() -> None:
    result = run_cli("simulate", _EDR, "--alerts", "3", "--seconds", "0.1", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["base_url"].startswith("http://127.0.0.1:")

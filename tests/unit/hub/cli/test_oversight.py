"""The commands of autonomy as a person types them: drawn for people, one document with ``--json``."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hubs import run_cli
from tests.oversight import PEOPLE, RULE, earned_site

from nightdesk.autonomy.evaluation.curve import sparkline, svg
from nightdesk.autonomy.levels.standing import Level
from nightdesk.hub.oversight.picture import picture
from nightdesk.hub.oversight.raising import withdraw
from nightdesk.hub.setup import make_config, private_file
from nightdesk.sdk.context import utc_now


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store is one in which a rule has earned its level."""
    site = earned_site(tmp_path)
    withdraw(site.office, site.unit(), Level.RECOMMEND, by=site.person("ann"), reason="drill")
    site.arrives(key="other")
    site.works()
    site.close()
    path = make_config(tmp_path, "acme", "Acme", at=utc_now())
    document = yaml.safe_load(path.read_text())
    for name, role in PEOPLE.items():
        private_file(tmp_path / "secrets" / name, f"{name}-secret\n".encode())
        document["tenants"]["acme"]["tokens"][name] = {"role": role, "secret": f"file:secrets/{name}"}
    path.write_text(yaml.safe_dump(document))
    return path


def ran(config: Path, *arguments: str, code: int = 0) -> Any:
    done = run_cli("autonomy", *arguments, "--tenant", "acme", "--config", config, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_status_says_what_is_missing_in_numbers(config: Path) -> None:
    found = ran(config, "status")
    states = {one["rule"]: one for one in found["units"]}
    assert states[RULE]["level_name"] in {"recommend", "shadow"}  # no feed moves here, and no model certifies
    assert "threshold certified" in {one["name"] for one in states[RULE]["missing"]}
    assert found["canaries"]["caught"] == 59
    drawn = run_cli("autonomy", "status", "--tenant", "acme", "--config", config).stdout
    assert "█" in drawn
    assert "59 caught, 0 missed" in drawn
    assert "threshold certified no of yes" in drawn


def test_the_days_coverage_is_drawn_as_a_curve(tmp_path: Path) -> None:
    site = earned_site(tmp_path)
    before = picture(site.office, "acme").days
    site.time.advance(86_400)
    closed = [site.arrives() for _ in range(3)]
    site.arrives(key="other")
    found = picture(site.office, "acme")
    states = [site.case(one).status.value for one in closed]
    site.close()
    assert states == ["closed"] * 3
    assert found.days == (*before, (site.time.now.date(), 3, 4))
    assert found.to_json()["coverage"]["days"][-1] == {"day": site.time.now.date(), "closed": 3, "cases": 4}
    assert found.curve.points[-1][1] == 0.75
    assert sparkline([share for _, share in found.curve.points])[-1] == "▇"
    assert f"<title>{site.time.now.day}: 75.0%</title>" in svg(found.curve)


def test_the_curve_goes_into_a_file_or_says_why_not(config: Path, tmp_path: Path) -> None:
    ran(config, "status", "--svg", str(tmp_path / "curve.svg"))
    assert (tmp_path / "curve.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert "name another file" in ran(config, "status", "--svg", str(tmp_path / "no" / "c.svg"), code=2)["error"]


def test_the_queue_and_a_verdict(config: Path) -> None:
    items = ran(config, "queue", "--as", "ann")["items"]
    assert items
    assert not {"kind", "status", "verdict", "chance", "case_id"} & set(items[0])
    done = ran(config, "judge", items[0]["item_id"], "--as", "ann", "--verdict", "benign-positive")
    assert [one["blind"] for one in done["labels"]] == [True]
    again = ran(config, "judge", items[0]["item_id"], "--as", "ann", "--verdict", "benign-positive", code=1)
    assert "does not wait for ann" in again["error"]
    plain = run_cli("autonomy", "queue", "--tenant", "acme", "--as", "ben", "--config", config)
    assert "to judge" in plain.stdout


def test_without_a_model_nothing_is_raised_and_the_message_says_why(config: Path) -> None:
    told = ran(config, "promote", RULE, "--as", "abe", "--reason", "noise", code=1)
    assert "threshold certified: no, needed yes" in told["error"]
    assert "nobody asked" in ran(config, "agree", RULE, "--as", "ada", "--reason", "noise", code=1)["error"]


def test_one_person_withdraws(config: Path) -> None:
    done = ran(config, "withdraw", RULE, "--as", "ann", "--reason", "odd", "--to", "off")
    assert done["standing"]["level"] == 0
    assert done["reopened"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("judge", "item-1", "--as", "nobody", "--verdict", "test"), "nobody is called 'nobody'"),
        (("judge", "item-1", "--as", "bot", "--verdict", "test"), "takes a person"),
        (("promote", RULE, "--as", "ann", "--reason", "r"), "raising a level takes admin or approver"),
        (("promote", RULE, "--as", "abe", "--reason", " "), "say why"),
        (("promote", RULE, "--as", "abe", "--reason", "r", "--to", "all"), "is no level"),
        (("withdraw", "nonsense", "--as", "abe", "--reason", "r"), "is no rule"),
        (("canary", "reveal", "canary-1", "--as", "abe"), "there is no canary canary-1"),
    ],
)
def test_what_is_wrong_is_named(config: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in ran(config, *arguments, code=1)["error"]


def test_canaries_are_listed_without_their_cases(config: Path) -> None:
    listed = ran(config, "canary", "list")["canaries"]
    assert len(listed) == 59
    assert {one["case"] for one in listed} == {""}


def test_a_canary_needs_a_connector_that_there_is(config: Path, tmp_path: Path) -> None:
    payload = tmp_path / "alert.json"
    payload.write_text('{"id": "1"}')
    told = ran(config, "canary", "plant", str(payload), "--as", "abe", "--connector", "edr", "--origin", "May", code=1)
    assert "acme has no connector 'edr'" in told["error"]
    told = ran(
        config, "canary", "plant", str(payload), "--as", "abe", "--connector", "edr", "--origin", "May",
        "--change", "x", code=1,
    )  # fmt: skip
    assert "OLD=NEW" in told["error"]


def test_raising_is_paused_and_started_again_by_the_commands_of_every_switch(config: Path) -> None:
    about = ("--tenant", "acme", "--levels", "--config", config, "--json")
    stopped = run_cli("stop", "--as", "ann", "--reason", "look first", *about)
    assert stopped.exit_code == 0, stopped.output
    assert json.loads(stopped.stdout)["scope"] == "levels"
    told = ran(config, "promote", RULE, "--as", "abe", "--reason", "noise", code=1)
    assert "raising levels of acme stopped by ann: look first" in told["error"]
    assert run_cli("start", "--as", "abe", "--reason", "looked", *about).exit_code == 0
    done = run_cli("start", "--as", "ada", "--reason", "looked", *about)
    assert json.loads(done.stdout)["stopped"] is False
    assert "has not earned" in ran(config, "promote", RULE, "--as", "abe", "--reason", "noise", code=1)["error"]
    several = run_cli("stop", "--as", "ann", "--reason", "r", "--rule", "x", *about)
    assert several.exit_code == 2

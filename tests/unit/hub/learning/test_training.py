"""The training job: what it asks for, what it keeps, who rules on it, and what it says to a person."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.hubs import run_cli
from tests.learned import TENANTS, World, empty_world, new_world, trained_world

from nightdesk.autonomy.learning.champion import Standing
from nightdesk.hub.learning.champions import STALE, Champions
from nightdesk.hub.learning.labelled import judged_groups
from nightdesk.hub.learning.work import Learning
from nightdesk.hub.store import audit, models
from nightdesk.sdk.errors import NightdeskError


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        yield made


def test_nothing_to_learn_from_is_said_in_numbers(tmp_path: Path) -> None:
    with empty_world(tmp_path) as world:
        with pytest.raises(NightdeskError, match=r"0 tenants have judged cases \(3 are needed\)"):
            world.trains()
        world.remembers(world.past("acme"), world.past("b"))
        with pytest.raises(NightdeskError, match="2 tenants have judged cases"):
            world.trains()
        told: list[str] = []
        assert not world.hub.learning.daily(told.append)
        assert "judge more" in told[0]


def test_too_few_attacks_are_learnt_from_and_promise_nothing(tmp_path: Path) -> None:
    with empty_world(tmp_path) as world:
        world.remembers(*(world.past(slug, attacks=40) for slug in TENANTS))
        told = world.trains().to_json()
    assert (told["certified"], told["more_attacks_needed"], told["learnt_from"]["attacks"]) == (False, 139, 160)
    assert "139 more are needed, nothing is closed" in told["promise"]


def test_a_challenger_decides_nothing_and_the_next_training_waits_for_it(world: World) -> None:
    done = world.trains()
    assert done.entry.standing is Standing.CHALLENGER
    with world.hub.store.read() as conn:
        assert models.in_use(conn) is None
    case_id = world.arrives()
    assert "gate" not in world.latest(case_id).inputs
    assert not world.hub.learning.training.due()
    again = world.trains()
    assert again.ruling is not None
    assert not again.ruling.decided
    assert "of 60 cases in shadow" in again.ruling.reason


def test_the_same_labels_train_the_same_model_which_confirms_the_champion(tmp_path: Path) -> None:
    with trained_world(tmp_path) as world:
        with world.hub.store.read() as conn:
            before = models.in_use(conn)
        assert before is not None
        assert not world.hub.learning.training.due()
        world.time.advance(86_400)
        assert world.hub.learning.training.due()
        done = world.trains()
        with world.hub.store.read() as conn:
            after = models.in_use(conn)
            events = [one.event for one in audit.entries(conn, models.FLEET, limit=100)]
        assert after is not None
        assert (done.entry.standing, after.model_id) == (Standing.CHAMPION, before.model_id)
        assert after.trained_at == world.time.now
        assert events.count("model.champion") == 2


def test_the_trial_comes_out_the_same_in_another_process(world: World) -> None:
    world.trains()
    for _ in range(4):
        world.arrives()
    world.time.advance(3600)
    told = world.hub.learning.training.rule()
    fresh = Learning(world.hub.settings, world.hub.oversight).training.rule()
    assert told is not None
    assert fresh is not None
    assert told.ruling is not None
    assert fresh.ruling is not None
    assert (told.ruling.closed, fresh.ruling.closed) == ((0, 4), (0, 4))
    assert fresh.ruling.reason == "4 of 500 cases in shadow"


def test_a_planted_attack_is_nothing_to_learn_from(world: World) -> None:
    planted = world.plants("dump", 7)
    with world.hub.store.read() as conn:
        found = judged_groups(conn, TENANTS, world.time.now.replace(year=2000))
    (one,) = [judged for _, judged in found if judged.group.opened >= planted.planted_at.timestamp() - 5]
    assert one.unclear


def test_the_command_says_what_is_missing_and_what_was_learnt(world: World) -> None:
    def trained(*tenants: str) -> tuple[int, dict[str, Any]]:
        done = run_cli("autonomy", "train", "--config", _configured(world, *tenants), "--json")
        return done.exit_code, orjson.loads(done.stdout)

    code, told = trained("acme")
    assert code == 1
    assert "3 are needed" in str(told)
    code, told = trained(*TENANTS)
    assert (code, told["standing"], told["certified"]) == (0, "challenger", True)
    assert told["learnt_from"]["attacks"] == 320
    code, told = trained(*TENANTS)
    assert (code, told["reason"]) == (0, "0 of 500 cases in shadow")
    shown = run_cli("autonomy", "train", "--config", _configured(world, *TENANTS))
    assert "promised: a miss rate of at most 0.01 with 0.95 confidence" in shown.stdout


def _configured(world: World, *tenants: str) -> Path:
    """The file with these tenants alone."""
    file = Path(world.hub.settings.file)
    whole = yaml.safe_load(file.read_text())
    whole["tenants"] = {slug: whole["tenants"][slug] for slug in tenants}
    fewer = file.with_name(f"{len(tenants)}.yaml")
    fewer.write_text(yaml.safe_dump(whole))
    return fewer


def test_a_fleet_whose_trial_takes_longer_than_a_week_has_a_model_once_it_is_over(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        world.trains()
        for _ in range(world.cases):
            world.arrives(after=9 * 86_400 / world.cases)
        world.time.advance(3600)
        world.works()
        with world.hub.store.read() as conn:
            champion = Champions().now(conn)
        assert champion is not None
        assert champion.known_at - champion.trained_at > STALE
        assert champion.stale(world.time.now) == ""
        assert "days old" in champion.stale(champion.known_at + STALE + timedelta(seconds=1))

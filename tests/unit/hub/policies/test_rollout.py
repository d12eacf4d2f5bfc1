"""A policy on its way through tenants: who may, where it decides, what stops it, and what becomes of what it closed."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert
from tests.hubs import REGISTRY, run_cli
from tests.pasts import RULES_THEN, Estate

from nightdesk.autonomy.policy_file import parse_policy, read_policy
from nightdesk.autonomy.rollout import Margins, Rollout, RolloutState
from nightdesk.autonomy.switches import Scope, Switch
from nightdesk.hub import switching
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.config import load_config
from nightdesk.hub.policies import rolling
from nightdesk.hub.policies.backtest import Backtest, backtest, candidate
from nightdesk.hub.store import Store, audit, cases, decisions, queries, rollouts
from nightdesk.hub.store.codec import dump, stamp
from nightdesk.hub.store.schema import canary, verdict_label
from nightdesk.sdk.case import CaseStatus, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import ConfigError, PolicyError

WIDER = RULES_THEN.replace(b"rule_name: [quiet, Quiet]", b"rule_name: [quiet, Quiet, odd, Odd]").replace(
    b'policy_id: then\nversion: "1"', b'policy_id: now\nversion: "2"'
)
HANDS_OFF = b"  - {id: hands-off, owner: j, then: {never_touch: {assets: [ws-*]}}}\n"
ABE, AMY = Principal("acme", "abe", Role.APPROVER), Principal("acme", "amy", Role.APPROVER)
ADA, ANN = Principal("acme", "ada", Role.ADMIN), Principal("acme", "ann", Role.ANALYST)
PEOPLE = {(one.tenant, one.name): one for one in (ABE, AMY, ADA, ANN)}


def known(tenant: str, name: str) -> Principal | None:
    return PEOPLE.get((tenant, name))


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    with ExitStack() as stack:
        yield Estate(stack, tmp_path, "acme", "beta")


def replayed(estate: Estate, file: Path) -> dict[str, Backtest]:
    with estate.hub() as hub:
        return {
            slug: backtest(
                hub.store, tenant.scope, new=candidate(read_policy(file)), since=estate.time.now.replace(year=2020),
                until=estate.time.now, normalizer=REGISTRY.normalizer,
            )
            for slug, tenant in hub.settings.tenants.items()
        }  # fmt: skip


def begun(
    estate: Estate,
    *rings: tuple[str, ...],
    policy: bytes = WIDER,
    by: Principal = ABE,
    margins: Margins | None = None,
) -> Rollout:
    file = estate.signed(policy)
    settings = load_config(estate.config, REGISTRY)
    prepared = rolling.prepare(file, rings or (("acme",), ("beta",)), settings.tenants)
    found = replayed(estate, file)
    with estate.hub() as hub:
        return rolling.begin(
            hub.store,
            prepared,
            by=by,
            reason="fewer odd tools",
            backtests={slug: found[slug] for slug in prepared.before},
            failing={},
            margins=margins or Margins(closes=9.0, spare=99),
        )


def current(estate: Estate) -> Rollout:
    with estate.hub() as hub, hub.store.read() as conn:
        found = rollouts.current(conn)
    assert found is not None
    return found


def made(estate: Estate, tenant: str) -> list[Decision]:
    with estate.hub() as hub, hub.store.read() as conn:
        ids = sorted(row.case_id for row in queries.case_list(conn, tenant, limit=500))
        return [one for case_id in ids for one in decisions.decisions(conn, tenant, case_id)]


def policies(estate: Estate, tenant: str) -> Counter[str]:
    return Counter(one.policy_id for one in made(estate, tenant))


def titled(estate: Estate, tenant: str, word: str) -> str:
    with estate.hub() as hub, hub.store.read() as conn:
        return max(row.case_id for row in queries.case_list(conn, tenant, limit=500) if word in row.title)


def told(store: Store, tenant: str) -> list[str]:
    with store.read() as conn:
        return [one.event for one in audit.entries(conn, tenant, limit=1000) if one.event.startswith("rollout.")]


def by_hand(estate: Estate, tenant: str, case_id: str, outcome: Outcome, verdict: Verdict) -> None:
    with estate.hub() as hub, hub.store.begin() as conn:
        there = decisions.decisions(conn, tenant, case_id)
        word = replace(
            there[-1], decision_id=f"{case_id}-{len(there) + 1:03d}", mode=Mode.HUMAN, outcome=outcome,
            verdict=verdict, decided_at=estate.time.now, reviewer="ann", inputs={}, checks=(), supersedes="",
        )  # fmt: skip
        decisions.put_decisions(conn, [word])
        cases.set_status(conn, tenant, case_id, CaseStatus.ESCALATED, at=estate.time.now)


def test_it_decides_in_the_canary_and_nowhere_else(estate: Estate) -> None:
    estate.live({"acme": ["odd", "quiet"], "beta": ["odd"]})
    rollout = begun(estate)
    assert (rollout.state, rollout.entered) == (RolloutState.RUNNING, ("acme",))
    estate.live({"acme": ["odd", "quiet"], "beta": ["odd", "quiet"]})
    assert policies(estate, "acme") == {"then": 2, "now": 2}
    assert policies(estate, "beta") == {"then": 3}
    assert [one.outcome for one in made(estate, "acme")] == ["escalate", "close", "close", "close"]
    assert [one.outcome for one in made(estate, "beta")] == ["escalate", "escalate", "close"]
    assert current(estate).state is RolloutState.RUNNING


def test_the_next_ring_takes_two_persons_one_of_them_an_admin(estate: Estate) -> None:
    begun(estate)
    with estate.hub() as hub:
        with pytest.raises(PolicyError, match="takes two of admin or approver"):
            rolling.advance(hub.store, by=ANN, reason="fine", known=known)
        with pytest.raises(PolicyError, match="say why"):
            rolling.advance(hub.store, by=ABE, reason=" ", known=known)
        assert not rolling.advance(hub.store, by=ABE, reason="fine", known=known).entered
        with pytest.raises(PolicyError, match="another person has to confirm"):
            rolling.advance(hub.store, by=replace(ABE, tenant="beta", role=Role.ADMIN), reason="fine", known=known)
        with pytest.raises(PolicyError, match="one of the two has to be an admin"):
            rolling.advance(hub.store, by=AMY, reason="fine", known=known)
        done = rolling.advance(hub.store, by=ADA, reason="fine", known=known)
        assert (done.entered, done.rollout.entered, done.rollout.state) == (True, ("acme", "beta"), "running")
        rolling.advance(hub.store, by=ABE, reason="done", known=known)
        last = rolling.advance(hub.store, by=ADA, reason="done", known=known)
        assert last.rollout.state is RolloutState.FINISHED
        with pytest.raises(PolicyError, match="no policy is being rolled out"):
            rolling.advance(hub.store, by=ADA, reason="more", known=known)
        assert told(hub.store, "acme") == ["rollout.started"]
        assert told(hub.store, "beta") == ["rollout.advanced"]
    estate.live({"acme": ["odd"], "beta": ["odd"]})
    assert policies(estate, "beta") == {"now": 1}


def test_a_revoked_credentials_word_no_longer_counts(estate: Estate) -> None:
    begun(estate)
    with estate.hub() as hub:
        rolling.advance(hub.store, by=ABE, reason="fine", known=known)
        again = rolling.advance(hub.store, by=ADA, reason="fine", known=lambda *_: None)
    assert not again.entered
    assert again.rollout.asked_by == "acme/ada"


def test_no_tenants_audit_names_another_tenant(estate: Estate) -> None:
    begun(estate)
    with estate.hub() as hub:
        rolling.stop(hub.store, by="ann", reason="drill")
        with hub.store.read() as conn:
            lines = [one for one in audit.entries(conn, "acme", limit=1000) if one.event.startswith("rollout.")]
            assert len(lines) == 2
            assert "beta" not in repr(lines)
            assert audit.verify(conn, "*") == []


@pytest.mark.parametrize("by", ["ann", "engine"])
def test_a_stop_is_one_step_and_what_it_closed_is_decided_again(estate: Estate, by: str) -> None:
    begun(estate)
    estate.live({"acme": ["odd", "quiet", "slow"]})
    closed = titled(estate, "acme", "odd")
    with estate.hub() as hub:
        rolling.stop(hub.store, by=by, reason="not what we meant")
        with pytest.raises(PolicyError, match="nothing to stop"):
            rolling.stop(hub.store, by=by, reason="again")
    estate.live({"acme": ["odd"]})
    found = {one.case_id: one for one in made(estate, "acme")}
    assert (found[closed].outcome, found[closed].policy_id) == (Outcome.REOPEN, "then")
    assert Counter(one.outcome for one in found.values()) == {"reopen": 1, "close": 2, "escalate": 1}
    assert current(estate).reviewed == {"acme": -1}
    before = made(estate, "acme")
    estate.live({"acme": []} | {"beta": ["odd"]})
    assert made(estate, "acme") == before


def test_the_review_goes_on_where_a_killed_hub_left_it(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(estate)
    estate.live({"acme": ["odd"] * 5})
    monkeypatch.setattr("nightdesk.hub.policies.ringwatch._PAGE", 2)
    with estate.hub() as hub:
        rolling.stop(hub.store, by="ann", reason="drill")
        assert hub.rollouts.once() > 0
    place = current(estate).reviewed["acme"]
    assert place > 0
    while current(estate).reviewed["acme"] != -1:
        with estate.hub() as hub:
            hub.rollouts.once()
            hub.pipeline.tick()
    assert Counter(one.outcome for one in made(estate, "acme")) == {"close": 5, "reopen": 5}


def test_a_page_of_the_review_that_breaks_leaves_no_half(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(estate)
    estate.live({"acme": ["odd"] * 2})
    before = made(estate, "acme")
    with estate.hub() as hub:
        rolling.stop(hub.store, by="ann", reason="drill")
        with monkeypatch.context() as patch:
            patch.setattr("nightdesk.hub.store.rollouts.keep", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                hub.rollouts.once()
        assert not hub.pipeline.tick()
    assert made(estate, "acme") == before
    with estate.hub() as hub:
        assert hub.rollouts.once() == 2
        assert [one.outcome for one in hub.pipeline.tick().decided] == [Outcome.REOPEN, Outcome.REOPEN]


def stopped_because(estate: Estate, words: str) -> None:
    with estate.hub() as hub:
        assert hub.rollouts.once() == 0
        rollout = current(estate)
        assert rollout.state is RolloutState.STOPPED, rollout
        assert rollout.changed_by == "engine"
        assert words in rollout.reason
        (notice,) = hub.notices.standing("acme")
        assert "no longer decides" in notice.text
        assert told(hub.store, "acme") == ["rollout.started", "rollout.stopped"]


def test_more_closes_than_the_backtest_said_stop_it(estate: Estate) -> None:
    estate.live({"acme": ["crypt"] * 4})
    begun(estate, margins=Margins(closes=0.25, spare=2))
    estate.live({"acme": ["odd", "odd"]})
    assert current(estate).state is RolloutState.RUNNING
    estate.live({"acme": ["odd"]})
    rollout = current(estate)
    assert (rollout.state, rollout.changed_by) == (RolloutState.STOPPED, "engine")
    assert "it closed 3 of 3; the backtest said 0%, which with its margin allows 2" in rollout.reason
    estate.live({"acme": ["odd"]})
    assert Counter(one.outcome for one in made(estate, "acme") if one.policy_id == "then")[Outcome.REOPEN] == 3


def test_closes_that_the_backtest_foresaw_do_not(estate: Estate) -> None:
    estate.live({"acme": ["odd"] * 4})
    rollout = begun(estate, margins=Margins(closes=0.0, spare=0))
    assert rollout.expected["acme"] == 1.0
    estate.live({"acme": ["odd"] * 4})
    assert current(estate).state is RolloutState.RUNNING


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(Outcome.REOPEN, Verdict.UNDETERMINED), (Outcome.ESCALATE, Verdict.TRUE_POSITIVE)],
)
def test_a_person_who_re_opens_what_it_closed_stops_it(estate: Estate, outcome: Outcome, verdict: Verdict) -> None:
    begun(estate)
    estate.live({"acme": ["odd"]})
    by_hand(estate, "acme", titled(estate, "acme", "odd"), outcome, verdict)
    stopped_because(estate, "a person re-opened what it closed")


def test_a_person_who_re_opens_what_the_policy_of_before_closed_does_not(estate: Estate) -> None:
    estate.live({"acme": ["quiet"]})
    begun(estate)
    by_hand(estate, "acme", titled(estate, "acme", "quiet"), Outcome.REOPEN, Verdict.UNDETERMINED)
    with estate.hub() as hub:
        hub.rollouts.once()
    assert current(estate).state is RolloutState.RUNNING


def test_a_label_that_calls_a_closure_an_attack_stops_it(estate: Estate) -> None:
    begun(estate)
    estate.live({"acme": ["odd"]})
    row = {
        "tenant": "acme", "seq": 1, "label_id": "l1", "unit": "odd", "case_id": titled(estate, "acme", "odd"),
        "analyst": "ann", "state": "provisional", "at": stamp(estate.time.now),
        "body": dump({"verdict": "true-positive"}),
    }  # fmt: skip
    with estate.hub() as hub, hub.store.begin() as conn:
        conn.execute(insert(verdict_label), row)
    stopped_because(estate, "called it an attack")


@pytest.mark.parametrize(("state", "stops"), [("missed", True), ("caught", False)])
def test_a_planted_attack_that_was_closed_stops_it(estate: Estate, state: str, stops: bool) -> None:
    begun(estate)
    estate.time.advance(60)
    now = estate.time.now
    row = {
        "tenant": "acme", "canary_id": "canary-7", "family": "odd", "state": state, "planted_at": stamp(now),
        "body": dump({"settled_at": now}),
    }  # fmt: skip
    with estate.hub() as hub, hub.store.begin() as conn:
        conn.execute(insert(canary), row)
    if stops:
        stopped_because(estate, "a planted attack was closed (canary-7)")
        return
    with estate.hub() as hub:
        hub.rollouts.once()
    assert current(estate).state is RolloutState.RUNNING


def test_the_kill_switch_stops_it(estate: Estate) -> None:
    begun(estate)
    with estate.hub() as hub:
        switching.stop(hub.store, Switch("acme", Scope.TENANT), by="ann", reason="drill")
    stopped_because(estate, "the machine was stopped: drill")


def test_a_signer_who_is_no_longer_trusted_stops_it_and_the_policy_of_before_decides(estate: Estate) -> None:
    begun(estate)
    written = yaml.safe_load(estate.config.read_text())
    del written["tenants"]["acme"]["signers"]["lead"]
    estate.config.write_text(yaml.safe_dump(written))
    estate.live({"acme": ["odd"]})
    assert policies(estate, "acme") == {"then": 1}
    rollout = current(estate)
    assert rollout.state is RolloutState.STOPPED
    assert "signer 'lead' is not trusted" in rollout.reason


def test_a_text_that_was_changed_in_the_store_decides_nothing(estate: Estate) -> None:
    rollout = begun(estate)
    with estate.hub() as hub, hub.store.begin() as conn:
        text = rollouts.text(conn, rollout.sha256)
        assert text is not None
        rollouts.keep_text(conn, rollout.sha256, text._replace(policy=text.policy + b"# more\n"), estate.time.now)
    estate.live({"acme": ["odd"]})
    assert policies(estate, "acme") == {"then": 1}
    assert "was changed after it was signed" in current(estate).reason


def test_a_configuration_that_was_changed_since_goes_before_it(estate: Estate) -> None:
    begun(estate)
    third = estate.signed(RULES_THEN.replace(b"policy_id: then", b"policy_id: third"), "third")
    written = yaml.safe_load(estate.config.read_text())
    written["tenants"]["acme"]["policy"] = str(third)
    estate.config.write_text(yaml.safe_dump(written))
    estate.live({"acme": ["odd"]})
    assert policies(estate, "acme") == {"third": 1}


def finished(estate: Estate) -> None:
    begun(estate, ("acme",))
    with estate.hub() as hub:
        rolling.advance(hub.store, by=ABE, reason="done", known=known)
        assert rolling.advance(hub.store, by=ADA, reason="done", known=known).rollout.state is RolloutState.FINISHED


def test_a_finished_one_decides_until_the_configuration_names_it(estate: Estate) -> None:
    finished(estate)
    estate.live({"acme": ["odd"]})
    assert policies(estate, "acme") == {"now": 1}
    third = RULES_THEN.replace(b"policy_id: then", b"policy_id: third")
    with pytest.raises(PolicyError, match="decides in acme by its rollout alone"):
        begun(estate, ("acme",), policy=third)
    written = yaml.safe_load(estate.config.read_text())
    written["tenants"]["acme"]["policy"] = str(estate.signed(WIDER, "adopted"))
    estate.config.write_text(yaml.safe_dump(written))
    with estate.hub() as hub:
        switching.stop(hub.store, Switch("acme", Scope.TENANT), by="ann", reason="drill")
        hub.rollouts.once()
        assert hub.notices.standing("acme") == []  # what is configured is no rollout any more
    assert current(estate).state is RolloutState.FINISHED
    assert begun(estate, ("acme",), policy=third).state is RolloutState.RUNNING


def test_what_either_policy_keeps_hands_off_counts(estate: Estate) -> None:
    begun(estate, policy=WIDER + HANDS_OFF)
    with estate.hub() as hub:
        assert [rule for rule, _ in hub.policies["acme"].never_touch] == ["hands-off"]
        assert [rule for rule, _ in hub.policies["beta"].never_touch] == []
        assert hub.missing(Switch("acme", Scope.RULE, "hands-off")) == ""
        assert "there is no 'nothing'" in hub.missing(Switch("acme", Scope.RULE, "nothing"))


def test_only_signed_policies_and_known_tenants_go(estate: Estate) -> None:
    tenants = load_config(estate.config, REGISTRY).tenants
    bare = estate.folder / "bare.yaml"
    bare.write_bytes(WIDER)
    with pytest.raises(ConfigError, match="only signed policies are rolled out"):
        rolling.prepare(bare, [["acme"]], tenants)
    file = estate.signed(WIDER)
    with pytest.raises(ConfigError, match="no such tenant"):
        rolling.prepare(file, [["acme"], ["umbrella"]], tenants)
    with pytest.raises(ConfigError, match="two rings"):
        rolling.prepare(file, [["acme"], ["acme"]], tenants)
    with pytest.raises(ConfigError, match="name the tenants"):
        rolling.prepare(file, [], tenants)
    file.write_bytes(WIDER + b"# changed\n")
    with pytest.raises(ConfigError, match=r"changed after it was signed.*\(tenant acme\)"):
        rolling.prepare(file, [["acme"]], tenants)
    with pytest.raises(ConfigError, match="decides in acme already"):
        rolling.prepare(estate.signed(RULES_THEN, "same"), [["acme"]], tenants)


def test_one_at_a_time_by_who_may(estate: Estate) -> None:
    with pytest.raises(PolicyError, match="takes two of admin or approver"):
        begun(estate, by=ANN)
    begun(estate)
    with pytest.raises(PolicyError, match="is being rolled out since"):
        begun(estate)
    with estate.hub() as hub:
        rolling.stop(hub.store, by="ann", reason="drill")
    with pytest.raises(PolicyError, match="still being looked at"):
        begun(estate)
    estate.live({"acme": ["odd"]})
    assert begun(estate).state is RolloutState.RUNNING


def test_a_policy_that_would_have_closed_a_known_attack_does_not_begin(estate: Estate) -> None:
    estate.live({"acme": ["odd"]})
    by_hand(estate, "acme", titled(estate, "acme", "odd"), Outcome.ESCALATE, Verdict.TRUE_POSITIVE)
    with pytest.raises(PolicyError, match="judged an attack"):
        begun(estate)


def test_the_commands_roll_it_out_and_back(estate: Estate) -> None:
    estate.time.now = utc_now() - timedelta(hours=2)  # commands live in our time
    estate.live({"acme": ["odd"] * 2, "beta": ["odd"]})
    file = estate.signed(WIDER)

    def command(*words: Any, code: int = 0) -> Any:
        found = run_cli("policy", "rollout", *words, "--config", estate.config, "--json")
        assert found.exit_code == code, found.output
        return json.loads(found.stdout)

    assert command("status", "--all") == {"state": "none"}
    go = ("start", file, "--ring", "acme", "--ring", "beta", "--reason", "fewer", "--last", "52w")
    assert "nobody is called" in command(*go, "--as", "acme/nobody", code=1)["error"]
    begun = command(*go, "--as", "acme/abe")
    assert (begun["state"], begun["entered"], begun["expected"]["acme"]) == ("running", ["acme"], 1.0)
    estate.time.now = utc_now()
    estate.live({"acme": ["odd"]}, between=1.0)
    mine = command("status", "--tenant", "acme")
    assert (mine["state"], mine["seen"]["acme"]["closes"]) == ("running", 1)
    other = command("status", "--tenant", "beta")
    assert (other["state"], other["seen"]) == ("waiting", {})
    assert "acme" not in json.dumps(other)
    assert command("advance", "--as", "acme/abe", "--reason", "fine")["asked_by"] == "acme/abe"
    assert command("advance", "--as", "beta/ada", "--reason", "fine")["entered"] == ["acme", "beta"]
    told = run_cli("policy", "rollout", "status", "--all", "--config", estate.config)
    assert "ring 2 entered: beta" in told.stdout
    assert command("stop", "--as", "engine", "--reason", "x", code=1)["error"].startswith("engine is no person")
    assert command("stop", "--as", "ann", "--reason", "drill")["state"] == "stopped"
    assert command("status", "--all")["closures_reviewed"] is False
    estate.live({"acme": ["odd"]}, between=1.0)
    assert command("status", "--all")["closures_reviewed"] is True
    assert run_cli("policy", "rollout", "status", "--config", estate.config).exit_code == 2


def test_the_new_policy_is_another_one() -> None:
    assert parse_policy(WIDER, file="p").sha256 != parse_policy(RULES_THEN, file="p").sha256

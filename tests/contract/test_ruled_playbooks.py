"""A signed rule starts a playbook: laws 4, 6, 7, 9, 10 and 11 over a real hub and simulators on loopback."""

import json
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.desks import TENANT
from tests.hubs import REGISTRY, run_cli
from tests.playbooks import a_playbook, do, end, isolate, manual, openc2, start, var
from tests.ruled import BOOK, CASE, CHAT, RuledDesk, policy_for

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.playbooks.content import content_of
from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.ruled import playbook_problems
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import replay, to_record
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub.config import load_config
from nightdesk.hub.regrouping import merge_cases
from nightdesk.hub.setup import sign_policy
from nightdesk.hub.store import audit, cases, decisions, queries, switches
from nightdesk.sdk.case import CaseStatus, Outcome

S = ActionState


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def _states(desk: RuledDesk) -> dict[str, ActionState]:
    return {one.verb: one.state for one in desk.hub.journal.of_case(TENANT, CASE)}


def test_the_rule_starts_it_once_and_its_containment_waits_for_a_person(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.alert("a1")
    (run,), (decision,) = desk.runs, desk.decided
    assert (decision.outcome, decision.reason_code) == (Outcome.PROPOSE_CONTAINMENT, "playbook-rule")
    assert [(one.playbook, one.variables, one.approval) for one in decision.starts] == [
        (BOOK.id, {"__host__": "ws-0042"}, "human")
    ]
    assert run.mandate is not None
    assert (run.started_by, run.case_id, run.mandate.decision_id) == ("autonomy", CASE, decision.decision_id)
    with desk.store.read() as conn:
        found = cases.case(conn, TENANT, CASE)
        assert found is not None
        assert found.status is CaseStatus.ESCALATED
    desk.work(30)
    assert _states(desk) == {"notify.send": S.EFFECTIVE, "host.isolate": S.AWAITING_APPROVAL}
    assert desk.orders == 0, "nothing that a user feels leaves without a person"
    desk.play()
    assert desk.outcomes() == ["tell: effective", "isolate: effective"]
    assert desk.orders == 1
    (waiting,) = desk.hub.playbooks.shown(desk.run())["waiting"]
    assert (waiting["name"], waiting["person"]) == ("look", True)
    desk.hub.playbooks.answer(TENANT, run.run_id, "look", by="carol", text="yes")
    assert desk.run().state is RunState.COMPLETED


def test_deciding_again_for_the_same_reason_starts_nothing_again(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    for number in range(3):
        desk.alert(f"a{number}")
    assert len(desk.decided) == 3
    assert all(one.starts for one in desk.decided)
    assert len(desk.runs) == 1
    desk.hub.playbooks.stop(TENANT, "run-000001", by="carol", why="false alarm")
    desk.alert("a9")
    assert [run.state for run in desk.runs] == [RunState.CANCELLED], "what a person ended does not come back"


def test_what_a_person_runs_already_on_the_same_host_is_not_started_beside_it(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.start(BOOK, case_id=CASE, host="ws-0042")
    desk.alert("a1")
    assert [run.mandate for run in desk.runs] == [None]


def test_with_two_signers_policy_lets_go_what_a_rule_could_propose_alone(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for(approval="policy"))
    desk.alert("a1")
    desk.work(60)
    (isolated,) = [one for one in desk.hub.journal.of_case(TENANT, CASE) if one.verb == "host.isolate"]
    assert (isolated.approval, isolated.approved_by, isolated.result["rules"]) == ("policy", "policy", ["worm"])
    assert isolated.state is S.LEASED
    assert isolated.lease_until is not None, "a containment without a person always ends by itself"


@pytest.mark.parametrize(
    ("assets", "why"),
    [("hostname,type\n", "unknown"), ("hostname,type\nws-0042,server\n", "server")],
)
def test_what_the_rule_could_not_propose_alone_waits_all_the_same(
    stack: ExitStack, tmp_path: Path, assets: str, why: str
) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for(approval="policy"))
    (tmp_path / "assets.csv").write_text(assets)
    reread(desk)
    desk.alert("a1")
    desk.work(30)
    assert _states(desk)["host.isolate"] is S.AWAITING_APPROVAL, why


def reread(desk: RuledDesk, *, keep: bool = True) -> None:
    """The configuration is read again, as a restart does; ``keep``: with the playbooks of the test."""
    desk.settings = load_config(desk.config, REGISTRY)
    desk.books = desk.books if keep else ()
    desk.restart()


def test_a_protected_host_is_refused_and_left_to_a_person(stack: ExitStack, tmp_path: Path) -> None:
    more = "  - {id: crown, owner: jane, then: {never_touch: {assets: ws-0042}}}\n"
    desk = RuledDesk(stack, tmp_path, policy_for(more=more))
    desk.alert("a1")
    desk.work(10)
    assert "host.isolate" not in _states(desk), "as a proposal of it: not even asked for"
    assert desk.outcomes()[-1] == "isolate: refused"
    assert [row["name"] for row in desk.hub.playbooks.shown(desk.run())["waiting"]] == ["by-hand"]


def test_a_release_within_a_rules_playbook_takes_a_person(stack: ExitStack, tmp_path: Path) -> None:
    """Law 7: no rule can propose to loosen something, so no playbook of a rule does it alone."""
    book = a_playbook(
        {
            "start": start("let-go"),
            "let-go": do(openc2("allow", {"device": {"hostname": "ws-0042"}}), on_completion="z"),
            "z": end(),
        },
        name="loosens",
    )
    desk = RuledDesk(stack, tmp_path, policy_for(book, approval="policy"), book)
    desk.alert("a1")
    desk.work(30)
    assert _states(desk) == {"host.release": S.AWAITING_APPROVAL}


def test_the_tenants_lease_is_never_stretched(stack: ExitStack, tmp_path: Path) -> None:
    book = a_playbook(
        {
            "start": start("a"),
            "a": do(isolate("__host__:value", duration=86_400_000), on_completion="z"),
            "z": end(),
        },
        variables={"__host__": var(external=True)},
        header={"inputs": {"__host__": "host"}},
        name="long",
    )
    desk = RuledDesk(stack, tmp_path, policy_for(book), book, lease_seconds={"host.isolate": 600})
    desk.alert("a1")
    (action,) = desk.hub.journal.of_case(TENANT, CASE)
    assert action.result["lease_seconds"] == 600


# What is not started, and why.


def _refused(desk: RuledDesk) -> str:
    desk.alert("a1")
    (decision,) = desk.decided
    assert desk.runs == []
    assert (decision.outcome, decision.reason_code, decision.starts) == (Outcome.ESCALATE, "playbook-refused", ())
    return next(text for text in decision.reasons if "was not started" in text)


def test_a_changed_playbook_is_refused_and_the_case_escalated(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.books = (BOOK.model_copy(update={"description": "changed after it was signed"}),)
    desk.restart()
    assert "it is not what was signed for: read the change" in _refused(desk)


def test_a_change_in_a_playbook_that_it_calls_is_a_change_of_it(stack: ExitStack, tmp_path: Path) -> None:
    inner = a_playbook({"start": start("a"), "a": do(CHAT, on_completion="z"), "z": end()}, name="inner")
    steps: dict[str, Any] = {
        "start": start("call"),
        "call": {"type": "playbook-action", "playbook_id": inner.id, "on_completion": "z"},
        "z": end(),
    }
    outer = a_playbook(steps, name="outer")
    desk = RuledDesk(stack, tmp_path, policy_for(outer, sha256=content_of(outer, {inner.id: inner})), outer, inner)
    desk.books = (outer, inner.model_copy(update={"name": "swapped"}))
    desk.restart()
    assert "it is not what was signed for" in _refused(desk)


def test_a_missing_playbook_is_told(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.books = ()
    desk.restart()
    assert f"The playbook {BOOK.id} of rule worm was not started: there is no such playbook." in _refused(desk)


def test_one_that_the_bound_vendors_cannot_do_is_told(stack: ExitStack, tmp_path: Path) -> None:
    book = a_playbook(
        {
            "start": start("a"),
            "a": do(openc2("investigate", {"device": {"hostname": "x"}}), on_completion="z"),
            "z": end(),
        },
        name="unfit",
    )
    assert "edr does not offer host.collect_evidence" in _refused(RuledDesk(stack, tmp_path, policy_for(book), book))


def test_two_hosts_are_no_answer(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for(), window_seconds=3600)
    desk.alert("a1")
    user = {"user": "jdoe", "user_domain": "CORP"}
    desk.alert("b1", "ws-0042", **user)
    desk.alert("b2", "ws-0043", **user)
    last = desk.decided[-1]
    assert {entity.value for alert in _case(desk).alerts for entity in alert.entities} >= {"ws-0042", "ws-0043"}
    assert last.starts == ()
    assert "the case names 2 of the kind host: ws-0042, ws-0043" in " ".join(last.reasons)
    assert len(desk.runs) == 1, "what goes on goes on"


def _case(desk: RuledDesk) -> Any:
    with desk.store.read() as conn:
        return cases.case(conn, TENANT, CASE)


@pytest.mark.parametrize(("bar", "started"), [("never: contain", False), ("require_approval: contain", True)])
def test_a_rule_that_holds_back_holds_back_a_playbook(
    stack: ExitStack, tmp_path: Path, bar: str, started: bool
) -> None:
    more = f"  - {{id: hold, owner: jane, reason: it stops the line, when: {{techniques: [T1059]}}, then: {{{bar}}}}}\n"
    desk = RuledDesk(stack, tmp_path, policy_for(approval="policy", more=more))
    if not started:
        assert "a rule says never for this case" in _refused(desk)
        return
    desk.alert("a1")
    desk.work(30)
    assert _states(desk)["host.isolate"] is S.AWAITING_APPROVAL


def test_what_a_later_alert_forbids_is_not_asked_for_any_more(stack: ExitStack, tmp_path: Path) -> None:
    more = (
        "  - {id: hold, owner: jane, reason: it stops the line, when: {techniques: [T1046]}, then: {never: contain}}\n"
    )
    slow = _slow()
    desk = RuledDesk(stack, tmp_path, policy_for(slow, approval="policy", more=more), slow)
    desk.alert("a1")
    desk.alert("a2", technique_ids=("T1046",), tactic_ids=("TA0007",))
    desk.work(120)
    assert desk.run().visits[-1].note == "never for this case, by hold"
    assert "host.isolate" not in _states(desk)


def test_an_input_is_chosen_by_its_role(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for(inputs={"__host__": "actor-host"}))
    assert "__host__: the alerts name 0 of actor-host; one is needed" in _refused(desk)
    with ExitStack() as other:
        desk = RuledDesk(other, tmp_path / "other", policy_for(inputs={"__host__": "victim-host"}))
        desk.alert("a1")
        assert [run.mandate.inputs for run in desk.runs if run.mandate] == [{"__host__": "ws-0042"}]


# Stopped (guardrail 5), withdrawn (law 10), undone (law 6).


@pytest.mark.parametrize(
    "switch",
    [Switch(ANYWHERE, Scope.ALL), Switch(TENANT, Scope.TENANT), Switch(TENANT, Scope.RULE, "worm")],
    ids=str,
)
def test_a_stop_ends_the_run_and_takes_back_what_was_not_sent(stack: ExitStack, tmp_path: Path, switch: Switch) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.alert("a1")
    desk.work(10)
    assert _states(desk)["host.isolate"] is S.AWAITING_APPROVAL
    with desk.store.begin() as conn:
        switches.stop(conn, switch, by="ada", reason="odd", at=desk.time.clock())
    desk.work(5)
    assert desk.run().state is RunState.CANCELLED
    assert "stopped by" in desk.run().problem
    assert "odd" in desk.run().problem
    assert _states(desk)["host.isolate"] is S.CANCELLED
    desk.alert("a2")
    assert "was not started" in " ".join(desk.decided[-1].reasons)
    assert len(desk.runs) == 1
    with desk.store.begin() as conn:
        before = switches.position(conn, switch)
        assert before is not None
        switches.start(conn, before, by="ann", reason="fine", at=desk.time.clock())
    desk.alert("a3")
    assert [run.state for run in desk.runs] == [RunState.CANCELLED], "it was started once; a person may start it again"


def test_a_stop_of_a_rule_does_not_touch_a_persons_run(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.start(BOOK, case_id=CASE, host="ws-0042")
    with desk.store.begin() as conn:
        switches.stop(conn, Switch(TENANT, Scope.TENANT), by="ada", reason="odd", at=desk.time.clock())
    desk.work(5)
    assert desk.run().state is RunState.RUNNING


def test_a_stop_of_one_verb_of_the_rule_refuses_that_step_only(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    with desk.store.begin() as conn:
        switch = Switch(TENANT, Scope.RULE, "worm/host.isolate")
        switches.stop(conn, switch, by="ada", reason="odd", at=desk.time.clock())
    desk.alert("a1")
    desk.work(5)
    assert desk.outcomes() == ["tell: effective", "isolate: refused"]
    assert desk.run().visits[-1].note == "host.isolate of rule worm is stopped"


def test_a_brake_hands_each_action_to_a_person_and_the_run_goes_on(stack: ExitStack, tmp_path: Path) -> None:
    slow = _slow()
    desk = RuledDesk(stack, tmp_path, policy_for(slow, approval="policy"), slow)
    desk.alert("a1")
    with desk.store.begin() as conn:
        switch = Switch(ANYWHERE, Scope.ALL)
        switches.stop(conn, switch, by=ENGINE, reason="too many actions", at=desk.time.clock())
    desk.work(120)
    assert desk.run().state is RunState.RUNNING
    assert _states(desk) == {"notify.send": S.EFFECTIVE, "host.isolate": S.AWAITING_APPROVAL}
    assert desk.orders == 0


def _slow() -> Playbook:
    """It tells people after a minute, and isolates then."""
    return a_playbook(
        {
            "start": start("wait"),
            "wait": do(CHAT, delay=60_000, on_completion="isolate"),
            "isolate": do(isolate("__host__:value"), on_completion="z"),
            "z": end(),
        },
        variables={"__host__": var(external=True)},
        header={"inputs": {"__host__": "host"}},
        name="slow",
    )


def test_a_withdrawn_rule_lets_nothing_more_go_by_itself(stack: ExitStack, tmp_path: Path) -> None:
    """Law 10: withdrawn in one step, and what the run still asks for waits for a person, messages too."""
    slow = _slow()
    desk = RuledDesk(stack, tmp_path, policy_for(slow, approval="policy"), slow)
    desk.alert("a1")
    for part in (tmp_path / "policies").glob("*.yaml"):
        part.write_bytes(b'policy_id: p\nversion: "2"\nrules: []\n')
        part.with_name(part.name + ".sig").unlink()
        sign_policy(part, tmp_path / "secrets" / "jane.pem", "jane", at=desk.time.clock())
    reread(desk)
    desk.work(120)
    assert _states(desk) == {"notify.send": S.AWAITING_APPROVAL}


def test_undoing_the_case_ends_the_run_and_takes_its_actions_back(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.alert("a1")
    desk.play()
    assert _states(desk)["host.isolate"] is S.EFFECTIVE or _states(desk)["host.isolate"] is S.LEASED
    done = run_cli("undo", "--tenant", TENANT, "--as", "carol", "--case", CASE, "--config", desk.config, "--json")
    assert done.exit_code == 0, done.output
    assert desk.run().state is RunState.CANCELLED
    assert _states(desk)["host.isolate"] is S.UNDONE


def test_a_case_that_is_merged_keeps_its_run_and_starts_no_second(stack: ExitStack, tmp_path: Path) -> None:
    """Its number is another one then, also where the playbook asks for it; undoing that case ends the run."""
    book = a_playbook(
        {
            "start": start("a"),
            "a": do(isolate("__host__:value", ours={"reason": "for __case__:value"}), on_completion="b"),
            "b": manual("__case__:value?", on_completion="z"),
            "z": end(),
        },
        variables={"__host__": var(external=True), "__case__": var(external=True)},
        header={"inputs": {"__host__": "host", "__case__": "case"}},
        name="numbered",
    )
    desk = RuledDesk(stack, tmp_path, policy_for(book), book)
    desk.alert("a1")
    desk.alert("b1", "ws-0043", technique_ids=("T1046",), tactic_ids=("TA0007",))
    other = "ND-2026-000002"
    assert merge_cases(desk.store, TENANT, other, [CASE], by="ann", reason="one intruder") == other
    desk.alert("b2", "ws-0043", technique_ids=("T1046",), tactic_ids=("TA0007",))
    with desk.store.read() as conn:
        newest = decisions.decisions(conn, TENANT, other)[-1]
        shown = queries.case_page(conn, TENANT, other)
    assert [one.variables["__host__"] for one in newest.starts] == ["ws-0042"]
    assert len(desk.runs) == 1
    assert shown is not None
    assert [run.run_id for run in shown.runs] == ["run-000001"]
    desk.play()
    done = run_cli("undo", "--tenant", TENANT, "--as", "carol", "--case", other, "--config", desk.config, "--json")
    assert (done.exit_code, desk.run().state) == (0, RunState.CANCELLED), done.output


# Seen, recorded, replayed.


def test_the_decision_is_made_again_bit_for_bit_without_the_playbook(stack: ExitStack, tmp_path: Path) -> None:
    """Law 11: the record says what was found of the playbook, so it replays after the playbook is gone."""
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.alert("a1")
    (decision,) = desk.decided
    record = to_record(decision)
    again = replay(record, _case(desk), desk.settings.tenants[TENANT].policy)
    assert canonical(to_record(again)) == canonical(record)
    assert again.starts == decision.starts
    with desk.store.read() as conn:
        assert decisions.verify_decisions(conn, TENANT) == []


def test_the_start_is_in_the_audit_and_on_the_command_line(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    desk.alert("a1")
    with desk.store.read() as conn:
        (line,) = [one for one in audit.entries(conn, TENANT, limit=1000) if one.event == "playbook.start"]
    assert (line.actor, line.detail["rules"], line.detail["run_id"]) == ("autonomy", ["worm"], "run-000001")
    shown = run_cli("cases", "show", CASE, "--tenant", TENANT, "--config", desk.config)
    assert "autonomy (rule worm, decision ND-2026-000001-001)" in shown.output
    listed = run_cli("playbook", "status", "--tenant", TENANT, "--config", desk.config)
    assert "run-000001" in listed.output


def test_policy_check_names_what_is_wrong_with_the_playbook(tmp_path: Path) -> None:
    shown = run_cli("playbook", "show", "beaconing-host", "--json")
    book, digest = json.loads(shown.stdout)["playbook"]["id"], json.loads(shown.stdout)["sha256"]
    assert digest in run_cli("playbook", "show", "beaconing-host").output
    rule = f"{{id: r, owner: j, then: {{playbook: {{id: {book}, sha256: {{}}, inputs: {{}}}}}}}}".replace("{}", "%s")
    file = tmp_path / "policy.yaml"
    file.write_text("policy_id: p\nversion: 1\nrules:\n  - " + rule % (digest, "{__host__: victim-host}"))
    fine = run_cli("policy", "check", file)
    assert (fine.exit_code, fine.output) == (0, "p version 1: 1 rules, in order\n")
    file.write_text("policy_id: p\nversion: 1\nrules:\n  - " + rule % ("a" * 64, "{__x__: host}"))
    wrong = run_cli("policy", "check", file, "--json")
    assert wrong.exit_code == 2
    told = {one["key"]: one["message"] for one in json.loads(wrong.stdout)["problems"]}
    assert set(told) == {"rules[0].then.playbook.sha256", "rules[0].then.playbook.inputs.__x__"}
    assert digest in told["rules[0].then.playbook.sha256"]


def test_policy_check_knows_the_playbooks_of_a_configuration(stack: ExitStack, tmp_path: Path) -> None:
    desk = RuledDesk(stack, tmp_path, policy_for())
    policy = tmp_path / "policies" / f"{TENANT}.yaml"
    alone = run_cli("policy", "check", policy)
    assert alone.exit_code == 2
    assert f"no playbook {BOOK.id}" in alone.output
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "contain.json").write_text(BOOK.model_dump_json(exclude_defaults=True))
    desk.config.write_text(desk.config.read_text() + "\nplaybooks: own\n")
    assert run_cli("policy", "check", policy, "--config", desk.config).exit_code == 0
    reread(desk, keep=False)
    desk.alert("a1")
    assert len(desk.runs) == 1, "and so does the hub"


def test_as_many_people_are_asked_as_the_tenant_says(stack: ExitStack, tmp_path: Path) -> None:
    people = {name: {"role": "approver"} for name in ("bob", "cleo")}
    desk = RuledDesk(stack, tmp_path, policy_for(), approvals={"people": people, "needed": {"R2": 2}})
    desk.alert("a1")
    desk.work(10)
    (waiting,) = desk.waiting_approvals()
    assert waiting.result["approval"]["needed"] == 2


def test_a_rule_may_propose_what_cannot_be_leased(stack: ExitStack, tmp_path: Path) -> None:
    """A scan ends by itself: it got a lease, was refused for it, and held up the tenant's alerts for ever."""
    policy = (
        b'policy_id: p\nversion: "1"\nrules:\n  - {id: look, owner: jane, when: {techniques: [T1059.001]},\n'
        b"     then: {propose: {actions: [{verb: host.scan, target: host}]}}}\n"
    )
    desk = RuledDesk(stack, tmp_path, policy)
    desk.alert("a1")
    assert _states(desk) == {"host.scan": S.AWAITING_APPROVAL}


def test_the_rule_in_the_reference_fits_the_bundled_playbook() -> None:
    """Whoever copies it gets what it says."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")
    section = page.partition("## Starting a playbook")[2]
    then = textwrap.indent(section.partition("```yaml\n")[2].partition("```")[0], "    ")
    policy = parse_policy(f"policy_id: p\nversion: 1\nrules:\n  - id: r\n    owner: j\n{then}".encode(), file="p")
    assert playbook_problems(policy, bundled(), file="p") == []
    assert policy.rules[0].then.playbook is not None

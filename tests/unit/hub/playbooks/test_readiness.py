from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.desks import CASE, MAIL, TENANT, Desktop
from tests.playbooks import HOST, a_playbook, do, end, isolate, openc2, ref, start, var
from tests.unit.hub.console.stage import alert

from nightdesk.autonomy.playbooks.content import called_by
from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.hub.playbooks.readiness import inputs_for
from nightdesk.sdk.case import Case, CaseStatus, Entity, EntityKind
from nightdesk.sdk.errors import ConfigError


def _book(**more: object) -> Playbook:
    steps = {"start": start("a"), "a": do(isolate("__host__:value"), on_completion="z"), "z": end()}
    variables = {
        "__host__": var(external=True, description="the host"),
        "__case__": var(external=True),
        "__tenant__": var(external=True),
        "__note__": var(external=True, value="none"),
    }
    inputs = {"__host__": "host", "__case__": "case", "__tenant__": "tenant"}
    return a_playbook(steps, variables=variables, header={"inputs": inputs}, **more)


def _case(*hosts: str) -> Case:
    entities = tuple(Entity(EntityKind.HOST, host, "victim-host", "", {}) for host in hosts)
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return Case(TENANT, CASE, "a case", CaseStatus.OPEN, 4, now, now, (alert(1, tenant=TENANT, entities=entities),))


def _problems(case: Case | None, **given: str) -> dict[str, str]:
    values = {f"__{name}__": value for name, value in given.items()}
    with pytest.raises(ConfigError) as error:
        inputs_for(_book(), values, tenant=TENANT, case_id=CASE, case=case)
    return {one.key: one.message for one in error.value.problems}


def test_inputs_come_from_the_case_when_it_names_exactly_one() -> None:
    found = inputs_for(_book(), {}, tenant=TENANT, case_id=CASE, case=_case("ws-1"))
    assert found == {"__host__": "ws-1", "__case__": CASE, "__tenant__": TENANT}


def test_what_a_person_gives_counts_more_than_the_case() -> None:
    found = inputs_for(
        _book(), {"__host__": "ws-2", "__note__": "x"}, tenant=TENANT, case_id=CASE, case=_case("ws-1", "ws-3")
    )
    assert (found["__host__"], found["__note__"]) == ("ws-2", "x")


def test_several_answers_are_no_answer() -> None:
    assert _problems(_case("ws-1", "ws-2")) == {
        "__host__": "the case names 2 of the kind host: ws-1, ws-2; say which (the host)"
    }
    assert _problems(None) == {"__host__": "needs a host (the host): give it with --var NAME=VALUE"}


def test_every_wrong_input_is_told_at_once() -> None:
    found = _problems(None, host="*", colour="red")
    assert "could mean everything" in found["__host__"]
    assert "is no external variable of this playbook; it has __host__" in found["__colour__"]


def test_the_playbooks_that_are_called_are_found_at_any_remove() -> None:
    steps = {
        "start": start("a"),
        "a": {"type": "playbook-action", "playbook_id": bundled().find("phishing").id, "on_completion": "z"},
        "z": end(),
    }
    names = {book.name for book in called_by(a_playbook(steps), bundled().get).values()}
    assert names == {"Phishing mail", "Stolen credential"}


def test_a_missing_required_role_stops_it_before_anything_is_done(tmp_path: Path) -> None:
    with ExitStack() as stack:
        desk = Desktop(stack, tmp_path, ["identity", "chat"])
        with pytest.raises(ConfigError, match="roles: edr: tenant 'acme' binds no connector to it"):
            desk.start(bundled().find("ransomware-host"), host="ws-0042")
        assert desk.actions() == []
        assert sum(len(one.seen) for one in desk.simulators.values()) == 0


def test_a_verb_that_is_not_offered_stops_it_before_anything_is_done(desk: Desktop) -> None:
    plain = {"start": start("a"), "a": do(openc2("investigate", HOST), on_completion="z"), "z": end()}
    with pytest.raises(ConfigError, match=r"edr does not offer host\.collect_evidence"):
        desk.start(a_playbook(plain))
    skippable = {**plain, "a": do(openc2("investigate", HOST), settings={"skippable": True}, on_completion="z")}
    desk.start(a_playbook(skippable))
    assert desk.outcomes() == ["a: skipped"]
    assert desk.run().visits[0].note == "edr does not offer host.collect_evidence"


def test_a_missing_optional_role_is_left_out_with_a_note(tmp_path: Path) -> None:
    with ExitStack() as stack:
        desk = Desktop(stack, tmp_path, ["edr"])
        desk.start(bundled().find("beaconing-host"), host="ws-0042")
        desk.play()
        skipped = [visit for visit in desk.run().visits if visit.outcome == "skipped"]
        assert {visit.name for visit in skipped} >= {"Open a ticket", "Collect evidence"}
        assert any("binds no connector to the role 'ticketing'" in visit.note for visit in skipped)


def test_a_target_that_is_none_is_refused_before_anything_is_done(desk: Desktop) -> None:
    steps = {
        "start": start("a"),
        "a": do(openc2("scan", HOST), on_completion="b"),
        "b": do(openc2("deny", {"ipv4_net": "__where__:value"}), on_completion="z"),
        "z": end(),
    }
    book = a_playbook(steps, variables={"__where__": var(external=True)}, header={"inputs": {"__where__": "text"}})
    with pytest.raises(ConfigError, match=ref("action", "a playbook/b")):
        desk.start(book, where=MAIL)
    assert desk.actions() == []

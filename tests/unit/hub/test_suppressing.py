"""Two persons agree to be quiet, one ends it, and what was closed under it is decided again."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers, run_cli

from nightdesk.autonomy.suppression import Asked, State
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import private_file
from nightdesk.hub.store import Store, audit, queries, suppressions
from nightdesk.hub.suppressing import agree, ask, end
from nightdesk.sdk.case import Outcome
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing import serve

_VENDOR = pullers()[0]
WEEK = timedelta(days=7)
ASKED = Asked(rule_id="rule-1")
PEOPLE = {
    name: Principal("acme", name, role)
    for name, role in (
        ("vic", Role.VIEWER), ("ann", Role.ANALYST), ("abe", Role.APPROVER), ("amy", Role.APPROVER),
        ("ada", Role.ADMIN), ("bot", Role.SERVICE),
    )
}  # fmt: skip


def known(tenant: str, name: str) -> Principal | None:
    return PEOPLE.get(name) if tenant == "acme" else None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(f"sqlite:///{tmp_path}/nightdesk.db", synchronous="NORMAL")
    yield made
    made.close()


def _ask(store: Store, name: str = "abe", **changes: Any) -> str:
    given: dict[str, Any] = {"asked": ASKED, "reason": "a broken printer", "lasts": WEEK, **changes}
    return ask(store, given["asked"], by=PEOPLE[name], reason=given["reason"], lasts=given["lasts"]).suppression_id


def _active(store: Store, tenant: str = "acme") -> list[str]:
    with store.read() as conn:
        return [one.suppression_id for one in suppressions.active(conn, tenant, store.clock())]


def test_it_holds_once_a_second_person_agrees_and_every_step_is_audited(store: Store) -> None:
    name = _ask(store)
    assert _active(store) == []
    assert agree(store, name, by=PEOPLE["ada"], known=known).agreed_by == "ada"
    assert _active(store) == [name]
    assert _active(store, "zeta") == []
    done, _ = end(store, name, by=PEOPLE["ann"])
    assert (done.state, done.ended_by, _active(store)) == (State.ENDED, "ann", [])
    with store.read() as conn:
        lines = [(line.event, line.actor) for line in audit.entries(conn, "acme")]
    assert lines == [("suppression.asked", "abe"), ("suppression.agreed", "ada"), ("suppression.ended", "ann")]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("abe", "abe", "another person has to confirm"),
        ("abe", "amy", "one of the two has to be an admin"),
        ("abe", "ann", "has the role analyst"),
        ("abe", "bot", "has the role service"),
    ],
)
def test_law_10_it_takes_two_persons_one_an_admin(store: Store, first: str, second: str, told: str) -> None:
    name = _ask(store, first)
    with pytest.raises(PolicyError, match=told):
        agree(store, name, by=PEOPLE[second], known=known)
    assert _active(store) == []


def test_the_word_of_somebody_who_may_not_any_more_does_not_count(store: Store) -> None:
    name = _ask(store)
    with pytest.raises(PolicyError, match="abe, who asked for it, may not any more"):
        agree(store, name, by=PEOPLE["ada"], known=lambda *_: None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reason": " "}, "say why"),
        ({"lasts": timedelta(days=31)}, "at most 30 days"),
        ({"lasts": timedelta()}, "at most 30 days"),
        ({"asked": Asked()}, "must name the detection"),
    ],
)
def test_what_has_no_end_no_reason_or_no_name_is_refused(store: Store, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        _ask(store, **changes)
    with store.read() as conn:
        assert suppressions.known(conn, "acme") == []


def test_analysts_and_programs_ask_for_none_and_viewers_end_none(store: Store) -> None:
    for name in ("ann", "vic", "bot"):
        with pytest.raises(PolicyError, match="it takes two of"):
            _ask(store, name)
    made = _ask(store)
    for name in ("vic", "bot"):
        with pytest.raises(PolicyError, match="ends none"):
            end(store, made, by=PEOPLE[name])


def test_what_was_asked_for_can_be_declined_and_what_is_over_stays_so(store: Store) -> None:
    name = _ask(store)
    done, again = end(store, name, by=PEOPLE["ann"])
    assert (done.state, again) == (State.DECLINED, [])
    with pytest.raises(PolicyError, match="declined"):
        agree(store, name, by=PEOPLE["ada"], known=known)
    with pytest.raises(PolicyError, match="declined already"):
        end(store, name, by=PEOPLE["ann"])
    with pytest.raises(PolicyError, match="no suppression 999999"):
        end(store, "999999", by=PEOPLE["ann"])


@pytest.fixture
def night(tmp_path: Path) -> Iterator[tuple[Hub, Any]]:
    """A hub with an approver and an admin, over a vendor that has told one low alert."""
    tokens = {}
    for name, role in (("abe", "approver"), ("ada", "admin"), ("ann", "analyst")):
        private_file(tmp_path / "secrets" / name, f"{name}-of-acme-and-a-long-secret\n".encode())
        tokens[name] = {"role": role, "secret": f"file:secrets/{name}"}
    simulator = REGISTRY.simulator(_VENDOR)()
    simulator.add(a_story_alert("one", utc_now()))
    with serve(simulator) as served:
        config = bind(tmp_path, "acme", {"main": (simulator, served.base_url)}, tokens=tokens)
        with opened(config) as hub:
            yield hub, simulator


def _pull(hub: Hub) -> None:
    async def go() -> None:
        await hub.once()
        await hub.bindings.aclose()

    asyncio.run(go())


def _case(hub: Hub) -> tuple[str, str, str]:
    with hub.store.read() as conn:
        (row,) = queries.case_list(conn, "acme")
    return row.status, row.latest_outcome, row.latest_reason


def _rule(hub: Hub) -> str:
    with hub.store.read() as conn:
        (row,) = queries.case_list(conn, "acme")
        page = queries.case_page(conn, "acme", row.case_id)
    assert page is not None
    return page.case.alerts[0].rule_name


def test_law_10_at_the_command_line_two_agree_and_ending_it_opens_again_what_it_closed(
    night: tuple[Hub, Any], tmp_path: Path
) -> None:
    hub, simulator = night
    _pull(hub)
    assert _case(hub)[0] == "escalated"
    common = ("--tenant", "acme", "--config", tmp_path / "nightdesk.yaml", "--json")
    asked = run_cli(
        "suppress", "ask", "--as", "abe", "--rule-name", _rule(hub), "--for", "7d", "--reason", "a test bench", *common
    )
    assert asked.exit_code == 0, asked.output
    name = orjson.loads(asked.output)["id"]
    refused = run_cli("suppress", "agree", name, "--as", "abe", *common)
    assert refused.exit_code == 1
    assert "another person" in refused.output
    assert run_cli("suppress", "agree", name, "--as", "ada", *common).exit_code == 0
    simulator.add(a_story_alert("two", utc_now(), 7))
    _pull(hub)
    with hub.store.read() as conn:
        rows = {row.alert_count and row.latest_reason: row.status for row in queries.case_list(conn, "acme")}
    assert rows["suppressed"] == "closed"
    listed = orjson.loads(run_cli("suppress", "list", *common).output)
    assert [(one["id"], one["active"], one["agreed_by"]) for one in listed] == [(name, True, "ada")]
    ended = orjson.loads(run_cli("suppress", "end", name, "--as", "ann", *common).output)
    assert len(ended["decided_again"]) == 1
    (again,) = hub.pipeline.tick().decided
    assert (again.outcome, again.case_id) == (Outcome.REOPEN, ended["decided_again"][0])


def test_the_command_refuses_a_length_that_is_none_and_a_name_that_nobody_has(
    night: tuple[Hub, Any], tmp_path: Path
) -> None:
    common = ("--tenant", "acme", "--config", tmp_path / "nightdesk.yaml", "--reason", "why", "--rule-id", "r")
    assert run_cli("suppress", "ask", "--as", "abe", "--for", "long", *common).exit_code == 2
    nobody = run_cli("suppress", "ask", "--as", "eve", "--for", "7d", *common)
    assert nobody.exit_code == 1
    assert "nobody is called 'eve'" in nobody.output

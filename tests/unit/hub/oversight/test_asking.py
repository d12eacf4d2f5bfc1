"""What the gate is given: levels as they count now, never what was once granted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oversight import CERTIFICATE, RULE, Site, earned_site

from nightdesk.autonomy.levels.gate import GateInputs, Say, ask
from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.switches import Scope, Switch
from nightdesk.hub.oversight.asking import ScoredRule, gate_inputs
from nightdesk.hub.store import cases
from nightdesk.hub.switching import stop

SCORES = {RULE: ScoredRule(0.05, "group-1", CERTIFICATE)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = earned_site(tmp_path)
    yield made
    made.close()


def inputs(
    site: Site, scores: dict[str, ScoredRule] | None = None, *, key: str = "rule-1", host: str = ""
) -> GateInputs:
    case_id = site.arrives(key=key, host=host)
    with site.store.read() as conn:
        case = cases.case(conn, "acme", case_id)
        assert case is not None
        given = SCORES if scores is None else scores
        return gate_inputs(conn, site.office, case, given, at=site.time.clock())


def test_an_earned_rule_may_close_and_the_record_says_why(site: Site) -> None:
    made = inputs(site)
    assert ask(made).say is Say.CLOSE
    (asked,) = made.rules
    assert (asked.level, asked.canaries, asked.held_by) == (Level.CLOSE, True, "")
    assert asked.evidence["granted_by"] == ["abe", "ada"]
    assert GateInputs.from_json(made.to_json()) == made


def test_what_holds_the_level_now_is_said(site: Site) -> None:
    site.knowledge = replace(site.knowledge, certified=False)
    (asked,) = inputs(site).rules
    assert (asked.level, asked.held_by) == (Level.RECOMMEND, "data")
    site.knowledge = replace(site.knowledge, certified=True)
    stop(site.store, Switch("acme", Scope.TENANT), by="ann", reason="drill")
    (asked,) = inputs(site).rules
    assert (asked.level, asked.held_by) == (Level.SHADOW, "policy")


def test_a_rule_without_a_score_or_a_level_escalates(site: Site) -> None:
    assert ask(inputs(site, {})).say is Say.ESCALATE
    assert ask(inputs(site, key="fresh")).say is Say.ESCALATE


def test_a_protected_asset_is_told(site: Site) -> None:
    assert inputs(site, host="dc01").protected
    assert not inputs(site, host="ws-7").protected

"""What the oversight does by itself: draws closures, waits for shadows, settles canaries, and never does it twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oversight import RULE, Site, earned_site, rule
from tests.stores import a_decision

from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.autonomy.oversight.items import Item, Kind
from nightdesk.hub.oversight.facts import Knowledge
from nightdesk.hub.store import canaries, decisions, samples
from nightdesk.sdk.case import CaseStatus, Outcome


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = earned_site(tmp_path)
    made.works()
    yield made
    made.close()


def items(site: Site, kind: Kind) -> list[Item]:
    with site.store.read() as conn:
        return [one for one in samples.open_items(conn, "acme", limit=10_000) if one.kind is kind]


def test_the_first_fifty_closures_after_a_grant_all_wait_to_be_judged(site: Site) -> None:
    closed = {site.arrives() for _ in range(50)}
    site.works()
    assert {one.case_id for one in items(site, Kind.SAMPLE)} == closed
    assert {one.chance for one in items(site, Kind.SAMPLE)} == {1.0}
    assert {one.rules for one in items(site, Kind.SAMPLE)} == {(RULE,)}


def test_later_ones_are_drawn_with_the_plans_chance(site: Site) -> None:
    for _ in range(50):
        site.arrives()
    site.works()
    for _ in range(3):  # a day of many closures makes the plan of the next one
        site.time.advance(86_400)
        for _ in range(120):
            site.arrives()
        site.works()
    drawn = [one for one in items(site, Kind.SAMPLE) if one.chance < 1.0]
    assert {round(one.chance, 6) for one in drawn} == {0.6, 0.25}  # 30 of yesterday's 50, then of 120
    assert 100 < len(drawn) < 165  # 132 on average


def test_a_closure_is_considered_once_whatever_restarts(site: Site) -> None:
    for _ in range(5):
        site.arrives()
    site.works()
    before = items(site, Kind.SAMPLE)
    site.restart()
    site.works()
    assert items(site, Kind.SAMPLE) == before


def test_a_round_that_dies_has_drawn_nothing_and_the_next_one_draws_the_same(site: Site) -> None:
    for _ in range(60):
        site.arrives()

    class Killed(BaseException):
        """As by kill -9, just before the commit."""

    def dying() -> None:
        with site.store.begin() as conn:
            site.rounds._round(conn, "acme", site.time.clock(), 500, due=False)  # the seam to die in
            raise Killed

    with pytest.raises(Killed):
        dying()
    assert items(site, Kind.SAMPLE) == []
    site.restart()
    site.works()
    again = {one.case_id for one in items(site, Kind.SAMPLE)}
    assert len(again) >= 50


def test_what_the_machine_would_have_closed_waits_too(site: Site) -> None:
    would = site.arrives(key="fresh")
    would_not = site.arrives(key="fresh", score=0.9)
    unscored = site.arrives(key="fresh", score=None)
    site.works()
    waiting = {one.case_id for one in items(site, Kind.SHADOW)}
    assert would in waiting
    assert not waiting & {would_not, unscored}


def test_a_closure_by_a_signed_rule_is_drawn_with_the_detection_rules_of_its_case(site: Site) -> None:
    case_id = site.arrives(key="signed", score=None)
    with site.store.begin() as conn:
        closed = a_decision(
            f"{case_id}-002", case_id, decided_at=site.time.clock(), outcome=Outcome.CLOSE, reason_code="signed-rule",
            inputs={"rules": ["noise"]},
        )  # fmt: skip
        decisions.put_decisions(conn, [closed])
    site.works()
    (item,) = items(site, Kind.SAMPLE)
    assert item.rules == (rule("signed"),)
    assert item.stratum == "signed:noise#unscored"


def _plants(site: Site, case_id: str, key: str = RULE) -> Canary:
    alert_id = site.case(case_id).alerts[0].alert_id
    at = site.time.clock()
    named = canaries.canary_id("acme", alert_id)
    one = Canary("acme", named, key.rpartition("@")[0], key, "edr", alert_id, at, "abe", "drill of May")
    with site.store.begin() as conn:
        canaries.plant(conn, one)
    return one


def _canary(site: Site, one: Canary) -> Canary:
    with site.store.read() as conn:
        found = canaries.canary(conn, "acme", one.canary_id)
    assert found is not None
    return found


def test_a_canary_that_is_escalated_is_caught(site: Site) -> None:
    one = _plants(site, site.arrives(score=0.9))
    site.works()
    assert _canary(site, one).state is CanaryState.CAUGHT
    assert site.standing().level is Level.CLOSE


def test_a_canary_that_is_closed_takes_the_level_and_everything_closed_is_open_again(site: Site) -> None:
    others = [site.arrives() for _ in range(3)]
    missed = site.arrives()
    one = _plants(site, missed)
    site.works()
    assert _canary(site, one).state is CanaryState.MISSED
    assert site.standing().level is Level.RECOMMEND
    assert {site.case(case_id).status for case_id in (*others, missed)} == {CaseStatus.ESCALATED}
    site.time.advance(86_400)
    site.works()
    assert site.standing().lost.startswith("canary")  # it is lost once, and evidence begins again
    assert site.standing().proof.canaries_failed == 0


def test_a_drift_alarm_takes_the_level_within_one_round(site: Site) -> None:
    closed = site.arrives()
    site.works()
    site.knowledge = Knowledge(certified=True, alarms=("psi: log_count",))
    site.time.advance(601)
    site.works()
    assert site.standing().level is Level.RECOMMEND
    assert site.case(closed).status is CaseStatus.ESCALATED


def test_an_expired_certificate_holds_the_level_without_losing_it(site: Site) -> None:
    site.knowledge = replace(site.knowledge, certified=False)
    site.time.advance(601)
    site.works()
    assert site.standing().level is Level.CLOSE
    from nightdesk.hub.oversight.appraisal import look  # of this alone

    with site.store.read() as conn:
        held = look(conn, site.office, site.unit(), at=site.time.clock()).bounds
    assert (held.level, held.held_by) == (Level.RECOMMEND, "data")

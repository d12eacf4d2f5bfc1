"""Who may judge, what is blind, who gets which items, and what a picture tells."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oversight import PEOPLE, Site, earned_site

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.oversight.labels import How, LabelState
from nightdesk.hub.oversight.judging import bear_out, judge
from nightdesk.hub.oversight.persons import JUDGES, admitted
from nightdesk.hub.oversight.picture import picture
from nightdesk.hub.oversight.queue import blind_case, queue
from nightdesk.hub.oversight.reopening import closures_since
from nightdesk.hub.store import labels
from nightdesk.sdk.case import CaseStatus
from nightdesk.sdk.errors import PolicyError


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("name", sorted(PEOPLE))
def test_only_persons_with_the_role_judge(site: Site, name: str) -> None:
    case_id = site.arrives()
    by = site.person(name)
    if by.role in JUDGES:
        assert judge(site.office, "acme", by=by, about=case_id, verdict="test").labels
    else:
        with pytest.raises(PolicyError):
            judge(site.office, "acme", by=by, about=case_id, verdict="test")


@pytest.mark.parametrize("name", ["engine", "Autonomy", "policy"])
def test_a_machines_name_is_no_person_whatever_role_it_was_given(site: Site, name: str) -> None:
    with pytest.raises(PolicyError, match="program"):
        admitted(replace(site.person("ada"), name=name), "acme", JUDGES, "judging")


def test_what_the_person_had_seen_is_no_evidence(site: Site) -> None:
    site.judges(site.arrives(), seen=True)
    assert site.standing().proof.benign == 0
    site.judges(site.arrives())
    assert site.standing().proof.benign == 1


def test_judging_again_replaces_the_same_persons_word(site: Site) -> None:
    case_id = site.arrives()
    site.judges(case_id)
    (again,) = site.judges(case_id, "true-positive").labels
    with site.store.read() as conn:
        told = labels.of_case(conn, "acme", case_id)
    assert [one.state for one in told] == [LabelState.WITHDRAWN, LabelState.PROVISIONAL]
    assert told[1].label_id == again.label_id
    assert site.standing().proof.benign == 0


def test_a_second_source_confirms_an_attack(site: Site) -> None:
    case_id = site.arrives()
    site.judges(case_id, "true-positive")
    assert site.standing().proof.attacks == 0
    (label,) = bear_out(site.office, "acme", case_id, "the network sensor")
    assert (label.state, label.sources) == (LabelState.CONFIRMED, ("the network sensor",))
    assert site.standing().proof.attacks == 1


def test_a_second_source_makes_nothing_benign(site: Site) -> None:
    case_id = site.arrives()
    site.judges(case_id)
    assert bear_out(site.office, "acme", case_id, "the network sensor") == ()
    with site.store.read() as conn:
        assert [one.state for one in labels.of_case(conn, "acme", case_id)] == [LabelState.PROVISIONAL]


def test_a_case_of_two_rules_is_a_label_of_each(site: Site) -> None:
    case_id = site.arrives()
    with pytest.raises(PolicyError, match="no verdict"):
        site.judges(case_id, "evil")
    assert [one.rule for one in site.judges(case_id).labels] == ["acme_edr/rule-1@-"]


def test_the_inventory_says_what_is_protected(tmp_path: Path) -> None:
    site = Site(tmp_path, assets={"host:plain": AssetFacts("workstation", tags=("crown-jewel",))})
    with_tag, unknown = site.arrives(host="plain"), site.arrives(host="ws-1")
    assert [one.protected for one in site.judges(with_tag).labels] == [True]
    assert [one.protected for one in site.judges(unknown).labels] == [False]  # a missing enrichment, no more
    site.close()


class TestQueue:
    """What waits, for whom."""

    @pytest.fixture
    def earned(self, tmp_path: Path) -> Iterator[Site]:
        made = earned_site(tmp_path)
        made.works()
        yield made
        made.close()

    def test_nobody_gets_a_case_that_they_judged_and_everybody_else_does(self, earned: Site) -> None:
        case_id = earned.arrives()
        earned.works()
        before = {name: len(earned.waits(name)) for name in ("ann", "ben")}
        earned.judges(case_id, by="ann")
        assert len(earned.waits("ann")) == before["ann"] - 1
        assert len(earned.waits("ben")) == before["ben"]

    def test_an_item_shows_alerts_and_no_word_of_the_machine(self, earned: Site) -> None:
        earned.arrives(title="Odd thing")
        earned.works()
        (item,) = [one for one in queue(earned.office, "acme", by=earned.person("ann"), limit=99) if "Odd" in one.title]
        assert set(item.__slots__) == {
            "item_id", "drawn_at", "title", "severity_id", "first_seen", "last_seen", "entities", "alerts",
        }  # fmt: skip
        assert blind_case(earned.office, "acme", item.item_id, by=earned.person("ann")) == item
        earned.judges(item.item_id, by="ann")
        assert blind_case(earned.office, "acme", item.item_id, by=earned.person("ann")) is None

    def test_one_item_in_fifty_has_a_known_answer_and_its_word_is_about_the_person(self, earned: Site) -> None:
        for number in range(12):  # twelve attacks that two persons agreed on
            case_id = earned.arrives(score=0.9, host=f"known-{number}")
            for name in ("abe", "ada"):
                earned.judges(case_id, "true-positive", by=name)
        for _ in range(60):
            earned.arrives()
        earned.works()
        benign = earned.standing().proof.benign
        known = 0
        for _ in range(50):
            (item_id, *_) = earned.waits("cat")
            done = earned.judges(item_id, by="cat")
            known += done.labels[0].how is How.KNOWN
        assert known == 1
        assert earned.standing().proof.benign <= benign + 49
        with earned.store.read() as conn:
            (told,) = [one for one in labels.of_analyst(conn, "acme", "cat") if one.how is How.KNOWN]
        assert (told.known, told.benign) == (True, True)  # an attack, called benign

    def test_a_sampled_closure_that_was_an_attack_is_open_again_at_one_word(self, earned: Site) -> None:
        closed = earned.arrives()
        earned.works()
        with earned.store.read() as conn:
            assert [one.case_id for one in closures_since(conn, "acme", "acme_edr/rule-1@-", earned.time.clock())] == [
                closed
            ]
        done = earned.judges(closed, "likely-true-positive", by="ben")
        assert done.reopened == (closed,)
        assert earned.case(closed).status is CaseStatus.ESCALATED

    def test_the_picture_adds_up(self, earned: Site) -> None:
        for _ in range(20):
            earned.arrives()
        earned.works()
        for name in ("abe", "ada"):
            for item_id in earned.waits(name):
                earned.judges(item_id, by=name)
        found = picture(earned.office, "acme")
        assert found.pile.closed == 20
        assert found.pile.judged == 20
        assert (found.pile.missed, found.pile.bound) == (0, 0.0)
        assert (found.canaries.caught, found.canaries.to_five, found.canaries.to_one) == (59, 0, 240)
        assert found.cases["closed"] == 20
        assert found.coverage == pytest.approx(20 / sum(found.cases.values()))
        (unit,) = found.units
        assert (unit.next_level, unit.asks) == ("", ())
        assert sum(unit.daily) >= 400
        assert {one.analyst for one in found.analysts} >= {"ann", "ben", "cat"}
        assert found.to_json()["units"][0]["granted_by"] == ["abe", "ada"]

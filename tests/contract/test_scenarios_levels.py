"""Scenarios that earned autonomy must survive, by their number in the design: the real store, the real gate."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oversight import JUDGES, RULE, Site, earned_site, rule

from nightdesk.autonomy.levels.requirements import missing
from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.levels.units import DecisionClass
from nightdesk.autonomy.switches import Scope
from nightdesk.hub.oversight.appraisal import look
from nightdesk.hub.oversight.facts import Knowledge
from nightdesk.hub.oversight.queue import queue
from nightdesk.hub.oversight.raising import PAUSE, agree, promote, withdraw
from nightdesk.hub.store import audit, labels, levels, switches
from nightdesk.hub.switching import person, start
from nightdesk.sdk.case import CaseStatus, Outcome
from nightdesk.sdk.errors import PolicyError


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def earned(tmp_path: Path) -> Iterator[Site]:
    made = earned_site(tmp_path)
    yield made
    made.close()


def lacking(site: Site, key: str = RULE, tenant: str = "acme") -> set[str]:
    """What the unit lacks for *auto-close*, by name."""
    with site.store.read() as conn:
        found = look(conn, site.office, site.unit(key, tenant), at=site.time.clock())
    return {one.name for one in missing(Level.CLOSE, DecisionClass.CLOSE, found.proof, found.facts)}


class TestScenario1Flood:
    """A hundred times the usual alerts of a benign rule, with a real attack inside."""

    def test_no_flood_earns_a_level_however_honestly_it_is_judged(self, site: Site) -> None:
        site.arrives()
        site.works()
        site.time.advance(25 * 3600)
        site.catches(59)
        for number in range(120):  # one host, one day: each judged blind, rightly, by three people
            site.judges(site.arrives(host="noisy"), by=JUDGES[number % 3])
        standing = site.standing()
        assert standing.proof.benign == 10
        assert standing.proof.left_out == 110
        assert standing.level is Level.SHADOW
        assert {"judged blind", "evidence (e-value)", "distinct days", "distinct entities"} <= lacking(site)
        with pytest.raises(PolicyError, match="has not earned auto-close"):
            site.raises()

    def test_the_attack_inside_is_escalated_and_the_flood_waits_in_a_short_queue(self, earned: Site) -> None:
        flood = [earned.arrives(key="other", host="noisy", score=0.05) for _ in range(100)]
        attack = earned.arrives(host="noisy", score=0.9)
        earned.works()
        assert earned.case(attack).status is CaseStatus.ESCALATED
        assert all(earned.case(one).status is CaseStatus.ESCALATED for one in flood)  # its rule earned nothing
        waiting = queue(earned.office, "acme", by=earned.person("ann"), limit=100)
        assert sum(one.alerts[0].rule_id == "other" for one in waiting) == 10


class TestScenario3PoisonedFeedback:
    """One analyst calls everything benign, five hundred times, an attack among it."""

    def test_one_persons_word_never_reaches_a_level(self, site: Site) -> None:
        site.arrives()
        site.works()
        for day in range(4):
            site.time.advance(86_400 + day)
            for number in range(125):
                site.judges(site.arrives(host=f"ws-{number}"), by="ann")
        site.catches(59)
        # 40 % of the 397 verdicts that a clean run needs
        assert site.standing().proof.benign == 158
        assert site.standing().proof.left_out == 342
        assert site.standing().proof.earned < 20
        with pytest.raises(PolicyError, match="evidence"):
            site.raises()

    def test_known_answers_find_the_analyst_and_everything_they_said_is_withdrawn(self, earned: Site) -> None:
        assert earned.standing().level is Level.CLOSE
        _answer_wrongly(earned, "ann", 10)
        with earned.store.read() as conn:
            left = [one for one in labels.of_analyst(conn, "acme", "ann") if one.standing and one.how != "known"]
        assert left == []
        after = earned.standing()
        assert after.level is Level.RECOMMEND
        assert after.lost.startswith("labels-withdrawn")
        assert after.proof.benign == 266  # what the two others said, and nothing else

    def test_the_rebuilt_evidence_is_that_of_a_world_in_which_they_never_spoke(self, earned: Site) -> None:
        _answer_wrongly(earned, "ann", 10)
        with earned.store.read() as conn:
            others = [one for one in labels.of_rule(conn, "acme", RULE) if one.analyst != "ann"]
        assert earned.standing().proof.benign == len({one.case_id for one in others})

    def test_what_people_disagree_on_is_no_evidence(self, site: Site) -> None:
        case_id = site.arrives()
        site.judges(case_id, by="ann")
        assert site.standing().proof.benign == 1
        site.judges(case_id, "true-positive", by="ben")
        assert (site.standing().proof.benign, site.standing().proof.attacks) == (0, 0)
        site.judges(case_id, "true-positive", by="cat")
        assert (site.standing().proof.benign, site.standing().proof.attacks) == (0, 1)


def _answer_wrongly(site: Site, name: str, count: int) -> None:
    """That person calls items benign whose answer is a known attack."""
    from nightdesk.autonomy.oversight.items import Item, Kind  # of this alone
    from nightdesk.hub.store import samples  # of this alone

    for _ in range(count):
        case_id = site.arrives(score=0.9)
        with site.store.begin() as conn:
            known = Item("acme", "", Kind.KNOWN, case_id, "", (RULE,), site.time.clock(), only_for=name, known=True)
            item = samples.draw(conn, known, site.office.key("acme"))
        site.judges(item.item_id, "false-positive", by=name)


class TestScenario9FlappingRule:
    """A rule's version changes, comes back, and its meaning flips."""

    def test_a_new_version_has_earned_nothing(self, earned: Site) -> None:
        assert earned.case(earned.arrives()).status is CaseStatus.CLOSED
        case_id = earned.arrives(version="2")
        assert earned.case(case_id).status is CaseStatus.ESCALATED
        earned.works()
        assert earned.standing(rule("rule-1", "2")).level is Level.OFF

    def test_the_old_version_loses_its_level_and_its_closures_are_open_again(self, earned: Site) -> None:
        closed = [earned.arrives() for _ in range(3)]
        earned.works()
        earned.arrives(version="2")
        earned.works()
        assert earned.standing().level is Level.OFF
        assert earned.standing().lost.startswith("version")
        assert {earned.case(one).status for one in closed} == {CaseStatus.ESCALATED}

    def test_the_version_that_returns_earns_anew(self, earned: Site) -> None:
        earned.arrives(version="2")
        earned.works()
        back = earned.arrives()
        earned.works()
        assert earned.case(back).status is CaseStatus.ESCALATED
        assert earned.standing().proof.benign == 0
        assert {"judged blind", "evidence (e-value)", "canaries, this rule"} <= lacking(earned)

    def test_a_version_that_fires_again_takes_the_level_of_the_one_that_earned_it_meanwhile(self, earned: Site) -> None:
        withdrawn = earned.standing()
        earned.arrives(version="2")
        earned.works()
        with earned.store.begin() as conn:
            levels.keep(conn, withdrawn, at=earned.time.clock())  # as if it had been earned anew
        earned.time.advance(60)
        closed = earned.arrives()
        assert earned.case(closed).status is CaseStatus.CLOSED
        earned.arrives(version="2")
        earned.works()
        assert earned.standing().lost.startswith("version")
        assert earned.case(closed).status is CaseStatus.ESCALATED

    def test_a_parser_that_reads_otherwise_is_a_new_rule_too(self, earned: Site) -> None:
        withdrawn = earned.standing()
        earned.knowledge = Knowledge(certified=True, parser="2")
        with earned.store.begin() as conn:
            levels.keep(conn, withdrawn.with_changes(parser="1"), at=earned.time.clock())
        earned.time.advance(3600)
        earned.restart()
        earned.works()
        assert earned.standing().level is Level.SHADOW
        assert earned.standing().lost.startswith("parser")


class TestScenario13Farming:
    """An attacker repeats a benign-looking trigger for days, then uses it."""

    def test_days_of_one_host_earn_nothing(self, site: Site) -> None:
        site.arrives()
        site.works()
        site.catches(59)
        for _ in range(6):
            site.time.advance(86_400)
            for number in range(20):
                site.judges(site.arrives(host="farm"), by=JUDGES[number % 3])
        assert site.standing().proof.benign == 60
        assert site.standing().proof.entities == 1
        assert "distinct entities" in lacking(site)
        with pytest.raises(PolicyError, match="distinct entities"):
            site.raises()

    def test_a_canary_of_the_family_still_escalates_and_one_that_does_not_takes_the_level(self, earned: Site) -> None:
        closed = [earned.arrives() for _ in range(5)]
        earned.works()
        earned.catches(1)
        earned.time.advance(600)
        earned.works()
        assert earned.standing().level is Level.CLOSE
        earned.catches(1, missed=True)
        earned.time.advance(600)
        earned.works()
        assert earned.standing().level is Level.RECOMMEND
        assert earned.standing().lost.startswith("canary")
        assert {earned.case(one).status for one in closed} == {CaseStatus.ESCALATED}
        assert earned.case(earned.arrives()).status is CaseStatus.ESCALATED


class TestScenario14StolenAdmin:
    """The account of whoever serves many tenants tries to raise levels everywhere."""

    @pytest.fixture
    def many(self, tmp_path: Path) -> Iterator[Site]:
        made = earned_site(tmp_path, tenants=("acme", *(f"t{number:02d}" for number in range(50))))
        withdraw(made.office, made.unit(), Level.RECOMMEND, by=made.person("ann"), reason="drill")
        for slug in made.tenants[1:]:
            _like_acme(made, slug)
        yield made
        made.close()

    def test_nothing_is_raised_without_a_second_person(self, many: Site) -> None:
        promote(many.office, many.unit(), Level.CLOSE, by=many.person("ada"), reason="trust me")
        for name in ("ada", "ADA", "bot", "vic", "ann"):
            by = replace(many.person(name.lower()), name=name)
            with pytest.raises(PolicyError):
                agree(many.office, many.unit(), by=by, reason="trust me")
        assert many.standing().level is Level.RECOMMEND

    def test_an_admin_of_another_tenant_is_nobody_here(self, many: Site) -> None:
        promote(many.office, many.unit(), Level.CLOSE, by=many.person("abe"), reason="trust me")
        with pytest.raises(PolicyError, match="belongs to t00"):
            agree(many.office, many.unit(), by=many.person("ada", "t00"), reason="trust me")

    def test_the_third_tenant_within_ten_minutes_pauses_every_one(self, many: Site) -> None:
        asked = []
        for slug in many.tenants:
            try:
                promote(many.office, many.unit(tenant=slug), Level.CLOSE, by=many.person("ada", slug), reason="go")
            except PolicyError as error:
                assert "3 tenants within 10 minutes" in str(error)  # noqa: PT017  # which of fifty failed is the point
            else:
                asked.append(slug)
        assert asked == list(many.tenants[:2])
        with many.store.read() as conn:
            assert [one.switch for one in switches.positions(conn, "t40")] == [PAUSE]
            assert audit.entries(conn, "*")[-1].event == "switch.stopped"
        # What the thief asked for before cannot be agreed to either, by anybody.
        with pytest.raises(PolicyError, match="raising levels of all tenants stopped"):
            agree(many.office, many.unit(), by=many.person("abe"), reason="go")

    def test_the_pause_stops_nothing_else_and_two_persons_end_it(self, many: Site) -> None:
        many.raises()
        for slug in many.tenants[1:3]:
            with pytest.raises(PolicyError) if slug == "t01" else _passes():
                promote(many.office, many.unit(tenant=slug), Level.CLOSE, by=many.person("ada", slug), reason="go")
        closed = many.arrives()
        assert many.case(closed).status is CaseStatus.CLOSED
        known = person(many.office.tenants)
        for name in ("abe", "ada"):
            done = start(many.store, PAUSE, by=many.person(name), reason="it was us", known=known)
        assert done.running
        promote(many.office, many.unit(tenant="t01"), Level.CLOSE, by=many.person("ada", "t01"), reason="go")

    def test_everything_that_was_raised_is_taken_back_in_one_step_by_one_person(self, many: Site) -> None:
        many.raises()
        promote(many.office, many.unit(tenant="t00"), Level.CLOSE, by=many.person("ada", "t00"), reason="go")
        with pytest.raises(PolicyError):
            promote(many.office, many.unit(tenant="t01"), Level.CLOSE, by=many.person("ada", "t01"), reason="go")
        closed = [many.arrives() for _ in range(4)]
        done = withdraw(many.office, many.unit(), Level.RECOMMEND, by=many.person("ann"), reason="stolen account")
        assert set(done.reopened) == set(closed)
        assert all(many.decisions(one)[-1].outcome is Outcome.REOPEN for one in closed)
        withdraw(many.office, many.unit(tenant="t00"), Level.RECOMMEND, by=many.person("ann", "t00"), reason="stolen")
        assert many.standing(tenant="t00").wish is None

    def test_asking_in_two_tenants_at_a_time_pauses_nothing(self, many: Site) -> None:
        for slug in many.tenants[:6]:
            promote(many.office, many.unit(tenant=slug), Level.CLOSE, by=many.person("ada", slug), reason="go")
            many.time.advance(301)
        with many.store.read() as conn:
            assert [one for one in switches.positions(conn, "acme") if one.switch.scope is Scope.LEVELS] == []


def _passes() -> "_Nothing":
    return _Nothing()


class _Nothing:
    def __enter__(self) -> None:
        """Nothing is expected to be raised."""

    def __exit__(self, *_: object) -> None:
        """Whatever is raised goes on."""


def _like_acme(site: Site, slug: str) -> None:
    """Another tenant in which the same was shown: acme's labels, given there too."""
    from sqlalchemy import text  # of this alone

    copied = {
        "verdict_label": "label_id, unit, case_id, analyst, state, at, seq",
        "unit_level": "unit, decision_class, level, moves, updated_at",
        "canary": "canary_id, family, state, planted_at",
    }
    with site.store.begin() as conn:
        for name, columns in copied.items():
            conn.execute(
                text(
                    f"INSERT INTO {name} (tenant, {columns}, body) SELECT :slug, {columns}, "  # our words
                    "CAST(replace(CAST(body AS TEXT), '\"acme\"', :quoted) AS BLOB) "
                    f"FROM {name} WHERE tenant = 'acme'"
                ),
                {"slug": slug, "quoted": f'"{slug}"'},
            )

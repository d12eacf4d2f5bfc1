"""Rights in time: earned by late verdicts, lent by the fleet, lost with one attack; then closures are re-opened."""

from dataclasses import replace

from tests.made_tenants import unit

from nightdesk.autonomy.evaluation.gate import SIMPLE, Gate, fleet_records, through_time
from nightdesk.autonomy.evaluation.units import Unit, Units
from nightdesk.autonomy.levels.evidence import FleetRecord, Terms

KNOWN = {"R": FleetRecord(tenants=2, benign=400, attacks=0)}
GATE = Gate(delay=0.0, qa=0.0)


def run(*kinds: str, every: float = 60.0) -> list[Unit]:
    """A unit for each kind, ``attack`` or anything else, one a minute."""
    return [unit(n, at=n * every, incident="step" if kind == "attack" else "") for n, kind in enumerate(kinds)]


def made(units: list[Unit], score: float = -5.0) -> Units:
    return Units("t", tuple(units), (score,) * len(units))


def test_299_verdicts_earn_and_the_300th_group_is_closed() -> None:
    course = through_time(made(run(*["noise"] * 400)), 0.0, {}, GATE)
    assert course.closed == list(range(299, 400))


def test_the_fleet_lends_250_and_only_when_it_has_seen_no_attack() -> None:
    units = made(run(*["noise"] * 100))
    assert through_time(units, 0.0, KNOWN, GATE).closed == list(range(49, 100))
    assert through_time(units, 0.0, {"R": FleetRecord(2, 400, 1)}, GATE).closed == []
    nothing = replace(GATE, terms=replace(SIMPLE, fleet_verdicts=0))
    assert through_time(units, 0.0, KNOWN, nothing).closed == []


def test_a_verdict_counts_only_when_it_has_been_given() -> None:
    late = through_time(made(run(*["noise"] * 400)), 0.0, KNOWN, replace(GATE, delay=3600.0))
    assert late.closed == list(range(48 + 60, 400))  # the 49th verdict, of minute 48, comes an hour later


def test_what_scores_above_is_neither_closed_nor_evidence() -> None:
    units = run(*["noise"] * 100)
    mixed = Units("t", tuple(units), tuple(-5.0 if place % 2 else 5.0 for place in range(100)))
    assert through_time(mixed, 0.0, KNOWN, GATE).closed == [99]  # the 49 verdicts are those of 1, 3 and so on to 97


def test_an_attack_among_the_verdicts_means_that_nothing_is_ever_closed() -> None:
    course = through_time(made(run(*["noise"] * 20, "attack", *["noise"] * 500)), 0.0, KNOWN, GATE)
    assert (course.closed, course.earned) == ([], 0)


def test_rights_are_each_rules_own() -> None:
    mine = run(*["noise"] * 100)
    other = [replace(one, rule="S", key=f"s{one.key}", incident="step", attack=True) for one in mine]
    both = [one for pair in zip(mine, other, strict=True) for one in pair]
    course = through_time(made(both), 0.0, KNOWN, GATE)
    assert {both[place].rule for place in course.closed} == {"R"}


def test_a_rule_that_turns_is_caught_by_the_sample_and_everything_it_closed_is_reopened() -> None:
    turned = made(run(*["noise"] * 300, *["attack"] * 200))
    course = through_time(turned, 0.0, KNOWN, Gate(delay=600.0, qa=0.05))
    attacks = [place for place in course.closed if turned.units[place].attack]
    assert 0 < len(attacks) <= 20 + 10 + 1  # one of twenty is drawn, and ten come while it is judged
    assert set(course.closed) == course.reopened
    assert course.lost == 1


def test_without_a_sample_nobody_would_notice() -> None:
    turned = made(run(*["noise"] * 300, *["attack"] * 200))
    assert sum(turned.units[place].attack for place in through_time(turned, 0.0, KNOWN, GATE).closed) == 200


def test_the_sample_is_the_share_and_the_first_of_each_entity() -> None:
    course = through_time(made(run(*["noise"] * 1_049)), 0.0, KNOWN, replace(GATE, qa=0.1))
    assert len(course.closed) == 1_000
    assert 100 <= course.drawn <= 102
    several = [replace(one, entity=f"host-{n % 50}") for n, one in enumerate(run(*["noise"] * 99))]
    assert 50 <= through_time(made(several), 0.0, KNOWN, replace(GATE, qa=0.001)).drawn <= 51


def test_with_the_products_terms_a_flood_on_one_host_earns_nothing() -> None:
    strict = replace(GATE, terms=Terms())
    assert through_time(made(run(*["noise"] * 2_000, every=10.0)), 0.0, KNOWN, strict).closed == []


def test_what_the_fleet_knows_is_counted_below_the_threshold_and_never_the_unclear() -> None:
    units = (unit(0), unit(1, incident="s"), unit(2), unit(3, unclear=True))
    records = fleet_records([Units("a", units, (-5.0, -4.0, 1.0, -9.0)), Units("b", units[:1], (-5.0,))], 0.0)
    assert records == {"R": FleetRecord(tenants=2, benign=2, attacks=1)}

"""Threshold and gate promised together: one tenant's exfiltration is caught and costs the others nothing."""

from dataclasses import replace
from random import Random

import pytest
from tests.made_tenants import unit

from nightdesk.autonomy.evaluation.gate import Gate
from nightdesk.autonomy.evaluation.resampling import resampled_stream
from nightdesk.autonomy.evaluation.stream import Step, Trial, certified, prefix, stream, trials, worth
from nightdesk.autonomy.evaluation.units import HeldOut, Units

GATE = Gate(delay=600.0)


def test_thresholds_are_tried_from_the_lowest_until_one_fails() -> None:
    assert prefix([0, 1, 3, 0], 124, 0.05, 0.05) == 2  # two may be lost of 124; what follows a failure does not count
    assert prefix([0, 1, 2, 2], 124, 0.05, 0.05) == 4
    assert prefix([0, 0], 58, 0.05, 0.05) == 0  # too few attacks for any promise


def test_the_lowest_threshold_that_closes_nearly_as_much_is_taken() -> None:
    assert worth([0.1, 0.5, 0.698, 0.7]) == 2
    assert worth([0.1, 0.5, 0.4]) == 1


def trial(missed: list[int], coverage: list[float], attacks: int) -> Trial:
    empty = HeldOut("t", Units("t", (), ()), {})
    steps = tuple(
        Step(float(n), frozenset(map(str, range(lost))), frozenset(), share, ())
        for n, (lost, share) in enumerate(zip(missed, coverage, strict=True))
    )
    return Trial(empty, steps, attacks, frozenset())


def test_what_is_certified_counts_the_attacks_closed_through_the_gate() -> None:
    found = certified(trial([0, 0, 2, 3], [0.1, 0.2, 0.5, 0.9], 124), 0.05, 0.05, by_group=True)
    assert (found.tau, found.n, found.k) == (2.0, 124, 2)
    short = certified(trial([0, 0], [0.1, 0.2], 100), 0.01, 0.05, by_group=True)
    assert (short.certified, short.missing) == (False, 199)
    by_cluster = certified(trial([0, 0], [0.1, 0.2], 500), 0.01, 0.05, by_group=False)
    assert (by_cluster.certified, by_cluster.missing) == (False, 299)


def tenant(name: str, *, flipped: bool) -> Units:
    """1,000 groups of a rule that is noise, or an attack throughout, and 100 attacks of another one that score high."""
    units = []
    for n in range(1_000):
        one = unit(n, tenant=name, rule="R", entity=f"h{n % 9}", at=n * 60.0, incident="quiet" if flipped else "")
        units.append(one)
    units += [unit(n, tenant=name, rule="A", incident=f"s{n}", at=n * 600.0) for n in range(100)]
    units.sort(key=lambda one: one.decided)
    chance = Random(name)
    return Units(name, tuple(units), tuple((-5 if one.rule == "R" else 1) + chance.random() for one in units))


@pytest.fixture(scope="module")
def streamed() -> list[Trial]:
    tenants = {name: tenant(name, flipped=name == "d") for name in "abcd"}
    folds = [HeldOut(name, own, {n: o for n, o in tenants.items() if n != name}) for name, own in tenants.items()]
    return trials(folds, GATE)


def test_one_tenants_exfiltration_by_a_rule_that_is_noise_elsewhere_is_not_missed(streamed: list[Trial]) -> None:
    found = {tested.outcome.tenant: tested for tested, _ in stream(streamed, 0.05, 0.05, GATE, by_group=True)}
    assert sum(one.outcome.missed for one in found.values()) == 0
    assert found["d"].outcome.attacks == 1_100
    assert min(found[name].outcome.coverage for name in "abc") > 0.5
    assert all(one.certificate.k == 0 and one.certificate.bound < 0.05 for one in found.values())


def test_the_gate_is_what_prevents_it(streamed: list[Trial]) -> None:
    """The same threshold without a gate would close hundreds of attacks of that tenant."""
    held = next(one for one in streamed if one.fold.tenant == "d")
    threshold = certified(held, 0.05, 0.05, by_group=True)
    own = held.fold.own
    assert sum(score < threshold.tau and one.attack for one, score in zip(own.units, own.scores, strict=True)) > 500


def test_with_too_few_attacks_the_stream_closes_nothing(streamed: list[Trial]) -> None:
    few = [replace(one, groups=50) for one in streamed]
    found = stream(few, 0.01, 0.05, GATE, by_group=True)
    assert [tested.outcome.closed for tested, _ in found] == [0] * 4
    assert {tested.certificate.missing for tested, _ in found} == {249}


def test_in_resampling_the_promise_of_the_stream_is_broken_in_five_percent_at_most(streamed: list[Trial]) -> None:
    assert max(one.rate for one in resampled_stream(streamed, 0.05, 0.05, GATE, 300)) <= 0.06

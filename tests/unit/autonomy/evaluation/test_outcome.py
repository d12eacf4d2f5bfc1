"""What is counted of a closing, against a truth worked out by hand; curves; and what simpler ways do."""

from xml.etree import ElementTree as ET

import pytest
from tests.made_tenants import unit

from nightdesk.autonomy.evaluation.baselines import allow_list, even_odds, throttle
from nightdesk.autonomy.evaluation.curve import Curve, sparkline, svg
from nightdesk.autonomy.evaluation.outcome import calibration_error, mean_coverage, outcome, worst
from nightdesk.autonomy.evaluation.units import HeldOut, Units

UNITS = [
    unit(0), unit(1), unit(2), unit(3),
    unit(4, incident="scan", at=1_000.0), unit(5, incident="scan", at=1_060.0),
    unit(6, incident="scan", rule="S", at=1_090.0),
    unit(7, incident="exfil"), unit(8, unclear=True),
]  # fmt: skip


def test_benign_units_attacks_clusters_and_steps_are_counted() -> None:
    found = outcome("t", UNITS, closed=[0, 1, 4, 7, 8])
    assert (found.benign, found.closed, found.coverage) == (4, 2, 0.5)
    assert (found.attacks, found.missed) == (4, 2)
    assert (found.clusters, found.missed_clusters) == (3, 2)
    assert (found.steps, found.missed_steps) == (2, ("exfil",))


def test_the_first_escalation_is_counted_from_the_opening_of_the_step() -> None:
    assert outcome("t", UNITS, closed=[]).first_escalation == (0.0, 0.0)
    assert outcome("t", UNITS, closed=[4, 5, 7]).first_escalation == (90.0,)
    assert outcome("t", UNITS, closed=[4]).median_escalation == 30.0


def test_what_was_reopened_saved_nothing_and_was_missed_all_the_same() -> None:
    found = outcome("t", UNITS, closed=[0, 1, 4], reopened=[1, 4])
    assert (found.closed, found.missed) == (1, 1)


def test_a_mean_over_tenants_and_the_worst_of_them() -> None:
    found = [outcome("a", UNITS, [0]), outcome("b", UNITS, [0, 1, 2])]
    assert mean_coverage(found) == 0.5
    assert worst(found).tenant == "a"
    assert outcome("c", [], []).coverage == 0.0


def test_calibration_error_is_zero_for_true_rates_and_the_distance_for_false_ones() -> None:
    clean = [(-5.0, False)] * 999
    assert calibration_error(clean, clean) == pytest.approx(0.0005)
    foul = [(-5.0, place % 2 == 0) for place in range(1_000)]
    assert calibration_error(foul, clean) == pytest.approx(0.5, abs=0.01)
    assert calibration_error([], clean) is None


def test_simpler_ways_of_closing() -> None:
    own = Units("t", tuple(unit(n, at=n * 40_000.0) for n in range(5)), (-1.0, 1.0, -1.0, 1.0, -1.0))
    noise = Units("o", tuple(unit(n, tenant="o") for n in range(10)), (0.0,) * 10)
    assert throttle(HeldOut("t", own, {})) == [1, 2, 3, 4]
    assert even_odds(HeldOut("t", own, {})) == [0, 2, 4]
    assert allow_list(HeldOut("t", own, {"o": noise})) == [0, 1, 2, 3, 4]
    attack = Units("p", (unit(0, tenant="p", incident="s"),), (0.0,))
    assert allow_list(HeldOut("t", own, {"o": noise, "p": attack})) == []


def test_a_curve_is_drawn_in_one_line_and_as_well_formed_svg() -> None:
    assert sparkline([0.0, 0.5, 1.0, 2.0, -1.0]) == "▁▅██▁"
    curve = Curve("a < b & c", "x", ((0.0, 0.25), (1.0, 0.75)), ("0", "<1>"))
    picture = ET.fromstring(svg(curve))
    assert len(picture.findall("{http://www.w3.org/2000/svg}circle")) == 2
    assert "a < b & c" in "".join(picture.itertext())
    ET.fromstring(svg(Curve("none", "x", (), ())))

"""Alarms: what makes them ring, and what does not."""

import random

from nightdesk.autonomy.learned.watching import (
    PlayedAttack,
    Window,
    alarm_of_attacks,
    alarm_of_calibration,
    alarm_of_rate,
)
from nightdesk.autonomy.learning.catalogue import INDEX, NAMES
from nightdesk.autonomy.learning.features import Vector

BASELINE = {"alerts": ((1.0, 2.0, 3.0), (250, 250, 250, 250))}


def a_vector(alerts: float) -> Vector:
    values = [0.0] * len(NAMES)
    values[INDEX["alerts"]] = alerts
    return Vector(tuple(values))


def test_what_comes_in_as_it_used_to_rings_nothing_and_what_does_not_is_named() -> None:
    rng, calm, odd = random.Random(1), Window(BASELINE), Window(BASELINE)
    for number in range(400):
        calm.see(f"g{number}", a_vector(rng.uniform(0, 4)), 1000.0 + number)
        odd.see(f"g{number}", a_vector(rng.uniform(2, 4)), 1000.0 + number)
    assert calm.alarms() == ()
    (told,) = odd.alarms()
    assert told.startswith("feature alerts (PSI ")


def test_few_groups_and_groups_told_twice_say_nothing() -> None:
    window = Window(BASELINE)
    for number in range(1000):
        window.see(f"g{number % 299}", a_vector(4.0), 1000.0)
    assert window.alarms() == ()
    window.see("g-300", a_vector(4.0), 1000.0)
    assert window.alarms()


def test_what_was_two_days_ago_is_forgotten() -> None:
    window = Window(BASELINE)
    for number in range(400):
        window.see(f"g{number}", a_vector(4.0), 0.0)
    window.see("later", a_vector(1.0), 86_400.0)
    assert window.alarms()
    window.see("much later", a_vector(1.0), 3 * 86_400.0)
    assert window.alarms() == ()


def test_attacks_that_score_lower_ring_and_others_do_not() -> None:
    rng = random.Random(2)
    known = [rng.gauss(4, 1) for _ in range(300)]
    like = [PlayedAttack(f"a{number}", rng.gauss(4, 1)) for number in range(200)]
    lower = [PlayedAttack(f"b{number}", rng.gauss(1, 1)) for number in range(30)]
    assert alarm_of_attacks(known, like) == ""
    assert "attacks score lower" in alarm_of_attacks(known, [*like[:20], *lower])


def test_probabilities_that_are_wrong_ring_once_enough_is_judged() -> None:
    wrong = [(0.001, number % 20 == 0) for number in range(100)]
    assert alarm_of_calibration(wrong).startswith("calibration error 0.049")
    assert alarm_of_calibration(wrong[:99]) == ""
    assert alarm_of_calibration([(0.001, False)] * 1000) == ""


def test_a_rule_that_fires_far_more_often_or_no_more_rings() -> None:
    steady = dict.fromkeys(range(100, 130), 20)
    assert alarm_of_rate("edr/r", steady, 130) == ""
    assert "usually 20" in alarm_of_rate("edr/r", steady | dict.fromkeys(range(124, 130), 60), 130)
    assert alarm_of_rate("edr/r", {day: count for day, count in steady.items() if day < 123}, 130)
    assert alarm_of_rate("edr/r", dict.fromkeys(range(115, 130), 20), 130) == ""  # known for too short a time
    assert alarm_of_rate("edr/r", {}, 130) == ""

import json
import subprocess
import sys
from dataclasses import replace
from math import inf, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.learning.catalogue import INDEX, NAMES
from nightdesk.autonomy.learning.features import Vector
from nightdesk.autonomy.learning.tables import Line, Platt, Steps, Tables
from nightdesk.sdk.errors import ConfigError

ONES = (1.0,) * len(NAMES)
ZEROS = (0.0,) * len(NAMES)


def made(seed: float = 0.1) -> Tables:
    steps = tuple(
        Steps(name, (-1.0, 0.5, 2.0), (-seed * place, 0.0, seed, seed * place), -3.0, 3.0, 1.0)
        for place, name in enumerate(NAMES)
    )
    return Tables(-0.7, steps, Line(0.3, ONES, ZEROS, ONES), Platt(1.2, -0.4), Platt(0.9, 0.1), (("rows", 12),))


def test_a_cut_belongs_to_the_step_below_it() -> None:
    step = Steps("alerts", (1.0, 3.0), (-2.0, 0.0, 4.0), 0.0, 9.0, 2.0)
    places = (-inf, 1.0, nextafter(1.0, inf), 3.0, nextafter(3.0, inf), inf)
    assert [step.at(value) for value in places] == [-2.0, -2.0, 0.0, 0.0, 4.0, 4.0]


@given(st.lists(st.floats(-5, 5), min_size=len(NAMES), max_size=len(NAMES)))
def test_law_11_the_explanation_is_the_score(values: list[float]) -> None:
    tables = made()
    score = tables.score(Vector(tuple(values)))
    total = score.intercept
    for one in score.contributions:
        total += one
    assert total == score.logit == tables.logit(values), "exactly, not nearly"
    assert score.probability == tables.calibration.probability(score.logit)


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(0.01, 5), st.floats(-9, 9))
def test_a_calibration_keeps_the_order_of_scores(one: float, other: float, slope: float, offset: float) -> None:
    platt = Platt(slope, offset)
    low, high = sorted((one, other))
    assert 0.0 <= platt.probability(low) <= platt.probability(high) <= 1.0


def test_a_calibration_stays_finite_far_out() -> None:
    assert Platt().probability(-1e6) == pytest.approx(0.0, abs=1e-300)
    assert Platt().probability(1e6) == 1.0
    assert Platt().probability(0.0) == 0.5


@given(st.floats(0.0001, 0.3))
def test_law_11_stored_and_read_again_it_is_the_same_model(seed: float) -> None:
    tables = made(seed)
    read = Tables.read(json.loads(canonical(tables.plain())))
    assert read == tables
    assert read.model_id == tables.model_id
    assert canonical(read.plain()) == canonical(tables.plain())


def test_another_number_anywhere_is_another_model() -> None:
    first = made()
    others = [
        replace(first, intercept=-0.70001),
        replace(first, calibration=Platt(1.2, -0.39)),
        replace(first, second=replace(first.second, intercept=0.31)),
        replace(first, steps=(replace(first.steps[0], high=3.1), *first.steps[1:])),
        replace(first, learnt=(("rows", 13),)),
    ]
    assert len({one.model_id for one in [first, *others]}) == 6


def test_what_was_never_seen_is_told_as_a_doubt() -> None:
    values = list(ZEROS)
    values[INDEX["alerts"]], values[INDEX["duration"]], values[INDEX["burst"]] = 4.5, 3.9, -4.1
    doubts = made().doubts(Vector(tuple(values), unseen=("rule new-rule",)))
    assert doubts == ("unseen rule new-rule", "alerts 4.5 outside -3 to 3", "burst -4.1 outside -3 to 3")
    assert made().score(Vector(tuple(values), unseen=("rule new-rule",))).doubts == doubts


def test_what_is_missing_is_told_as_missing_and_not_as_strange() -> None:
    values = list(ZEROS)
    values[INDEX["confidence"]] = 50.0
    score = made().score(Vector(tuple(values), missing=("confidence",)))
    assert (score.missing, score.doubts) == (("confidence",), ())


def test_reasons_are_the_features_that_moved_it_most() -> None:
    reasons = made().score(Vector((3.0,) * len(NAMES))).reasons(2)
    assert [name for name, _ in reasons] == [NAMES[-1], NAMES[-2]]
    assert made().score(Vector(ZEROS)).reasons() == ()


def test_two_models_disagree_by_the_distance_of_their_probabilities() -> None:
    score = made().score(Vector(ONES))
    assert score.second > 0.99
    assert score.disagreement == abs(score.probability - score.second) > 0.09


def _damaged(key: str, value: object) -> dict[str, object]:
    return {**made().plain(), key: value}


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, "is no model"),
        (_damaged("steps", [{"name": "alerts"}]), "is no model"),
        (_damaged("feature_set", "0"), "has features of set '0', not '1'"),
        (_damaged("steps", made().plain()["steps"][:-1]), "train again"),
        (_damaged("steps", [{**one, "values": [0.0]} for one in made().plain()["steps"]]), "steps do not fit its cuts"),
        (_damaged("steps", [{**one, "cuts": [1, 1, 2]} for one in made().plain()["steps"]]), "do not fit its cuts"),
        (_damaged("calibration", [-1.0, 0.0]), "would turn the order of scores round"),
        (
            _damaged("second", {"intercept": 0, "weights": [1], "centre": [0], "scale": [1]}),
            "second model does not fit",
        ),
        (_damaged("intercept", "much"), "is no model"),
    ],
)
def test_law_12_damaged_tables_are_refused(plain: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Tables.read(plain, file="champion.json")


def test_scoring_needs_no_library_of_learning() -> None:
    modules = "tables", "flips", "features", "history", "priors", "champion", "rows"
    code = (
        f"import sys, importlib\n[importlib.import_module('nightdesk.autonomy.learning.' + one) for one in {modules}]\n"
        "sys.exit(' '.join(one for one in ('numpy', 'scipy', 'sklearn') if one in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr

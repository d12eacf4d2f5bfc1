"""Training: an additive model of boosted steps and a logistic regression beside it, both exported as plain tables.

Additive, because unrestricted boosting is over-confident where true positives are few, and one over-confidently low
score of an attack pulls the certified threshold down for everybody.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from nightdesk.autonomy.learning.catalogue import NAMES, SIGNS
from nightdesk.autonomy.learning.matrices import Floats, Labels, labels, matrix, rounded
from nightdesk.autonomy.learning.rows import Row, Rows
from nightdesk.autonomy.learning.tables import Line, Platt, Steps, Tables
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem

try:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise ConfigError([Problem("nightdesk", "learn", "install nightdesk[learn] to train a model")]) from error

__all__ = ["DEFAULTS", "Progress", "Settings", "counted", "fit", "train", "weights"]

Progress = Callable[[str, int, int], None]
"""Told of long work: what, how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is trained. The defaults are those of the decision record on features and model."""

    iterations: int = 200
    leaves: int = 8
    fewest_in_leaf: int = 30
    rate: float = 0.1
    shrinkage: float = 100.0
    """L2 penalty of a leaf: without it a leaf of noise alone sinks without bound."""
    second_strength: float = 0.1
    """Inverse penalty of the logistic regression."""
    seed: int = 0


DEFAULTS = Settings()
_TOLD = 10.0
_STILL = 1e-9


def train(rows: Rows, tenants: Sequence[str] = (), settings: Settings = DEFAULTS) -> Tables:
    """Learn from the clear rows of ``tenants`` (default: all), each with the priors of the others among them.

    Not calibrated yet. Raises NightdeskError without both kinds of rows.
    """
    names = tuple(tenants) or rows.tenants
    chosen = rows.of(names, clear=True)
    return fit(matrix(chosen, rows.fleet, names), labels(chosen), weights(chosen), settings, tenants=len(names))


def counted(rows: Sequence[Row]) -> Floats:
    """How much a row counts: groups of one attack are one piece of evidence told many times, ten at most together."""
    sizes = Counter(row.judged.cluster for row in rows if row.judged.attack)
    return np.array(
        [min(1.0, _TOLD / sizes[row.judged.cluster]) if row.judged.attack else 1.0 for row in rows], dtype=np.float64
    )


def weights(rows: Sequence[Row]) -> Floats:
    """How much a row counts in training: attacks are raised by the root of how rare they are.

    That is half way to as much as all that is benign: the threshold hangs on the least certain attack, not on the
    average group. Calibration takes it back out of the probabilities.
    """
    weight, truth = counted(rows), labels(rows)
    attacks = float(weight[truth].sum())
    if attacks:
        weight[truth] *= max(1.0, float((~truth).sum()) / attacks) ** 0.5
    return weight


def fit(values: Floats, truth: Labels, weight: Floats, settings: Settings, *, tenants: int) -> Tables:
    """Fit both models to a matrix and export them."""
    attacks = int(truth.sum())
    if not 0 < attacks < len(truth):
        raise NightdeskError(
            f"training needs attacks and benign groups; there are {attacks} attacks in {len(truth)} rows: judge more"
        )
    # One thread: the hub goes on working beside it, and the order of no sum depends on the machine.
    with threadpool_limits(limits=1):
        return _fit(values, truth, weight, settings, (("attacks", attacks), ("rows", len(truth)), ("tenants", tenants)))


def _fit(
    values: Floats, truth: Labels, weight: Floats, settings: Settings, learnt: tuple[tuple[str, int], ...]
) -> Tables:
    boosted = HistGradientBoostingClassifier(
        learning_rate=settings.rate,
        max_iter=settings.iterations,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.fewest_in_leaf,
        l2_regularization=settings.shrinkage,
        interaction_cst="no_interactions",
        monotonic_cst=list(SIGNS),
        early_stopping=False,
        random_state=settings.seed,
    ).fit(values, truth, sample_weight=weight)
    centre, scale = np.array(_floats(values.mean(axis=0))), np.array(_floats(values.std(axis=0)))
    scale[scale < _STILL] = 1.0
    line = LogisticRegression(C=settings.second_strength, max_iter=2000)
    line.fit((values - centre) / scale, truth, sample_weight=weight)
    lone, steps = _steps(boosted, values)
    return Tables(
        float(boosted._baseline_prediction.item()) + lone,  # noqa: SLF001  (no public way to the intercept)
        steps,
        Line(rounded(line.intercept_[0]), _floats(line.coef_[0]), _floats(centre), _floats(scale)),
        Platt(),
        Platt(),
        learnt,
    )


_Node = tuple[bool, int, float, int, int, float]
"""Of a tree: whether it is a leaf, which feature it asks about, the cut, where to go below and above it, its value."""
_FIELDS = ["is_leaf", "feature_idx", "num_threshold", "left", "right", "value"]


def _steps(boosted: Any, values: Floats) -> tuple[float, tuple[Steps, ...]]:
    """Add the trees of each feature up, since no tree asks about two; and those that ask nothing, apart."""
    trees: list[list[list[_Node]]] = [[] for _ in NAMES]
    lone = 0.0
    for (tree,) in boosted._predictors:  # noqa: SLF001  (the trees are nowhere public; a test compares the export)
        nodes: list[_Node] = tree.nodes[_FIELDS].tolist()
        asked = {feature for leaf, feature, *_ in nodes if not leaf}
        if len(asked) > 1:
            raise NightdeskError("a tree asks about two features: the model is not additive and cannot be exported")
        if asked:
            trees[asked.pop()].append(nodes)
        else:
            lone += nodes[0][5]
    return lone, tuple(_step(name, trees[place], values[:, place]) for place, name in enumerate(NAMES))


def _step(name: str, trees: list[list[_Node]], column: Floats) -> Steps:
    cuts = sorted({cut for nodes in trees for leaf, _, cut, *_ in nodes if not leaf})
    sums = [0.0] * (len(cuts) + 1)
    for nodes in trees:
        for place, value in enumerate([*cuts, inf]):
            sums[place] += _value(nodes, value)
    return Steps(name, tuple(cuts), tuple(sums), float(column.min()), float(column.max()), rounded(column.std()))


def _value(nodes: list[_Node], value: float) -> float:
    leaf, _, cut, below, above, found = nodes[0]
    while not leaf:
        leaf, _, cut, below, above, found = nodes[below if value <= cut else above]
    return found


def _floats(array: Floats) -> tuple[float, ...]:
    return tuple(rounded(value) for value in array)

"""Rows as matrices, and many scored at once. Needs the extra ``learn``; scoring one group does not."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from nightdesk.autonomy.learning.catalogue import NAMES
from nightdesk.autonomy.learning.features import vector
from nightdesk.autonomy.learning.priors import Fleet
from nightdesk.autonomy.learning.rows import Row, fewest_among
from nightdesk.autonomy.learning.tables import Tables
from nightdesk.sdk.errors import ConfigError, Problem

try:
    import numpy as np
    import numpy.typing as npt
except ImportError as error:
    raise ConfigError(
        [Problem("nightdesk", "learn", "install nightdesk[learn] to train and evaluate models")]
    ) from error

__all__ = ["Floats", "Labels", "labels", "logits", "matrix", "rounded", "second_logits"]

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.bool_]


def matrix(rows: Sequence[Row], fleet: Fleet, among: Iterable[str]) -> Floats:
    """The features of rows, each with the priors of ``among`` without its own tenant."""
    names = frozenset(among)
    views = {}
    for tenant in {row.judged.group.tenant for row in rows}:
        views[tenant] = fleet.view(tenant, among=names, fewest=fewest_among(len(names - {tenant})))
    values = [vector(row.seen, views[row.judged.group.tenant]).values for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), len(NAMES))


def labels(rows: Sequence[Row]) -> Labels:
    """True for an attack."""
    return np.array([row.judged.attack for row in rows], dtype=np.bool_)


def rounded(value: float) -> float:
    """Nine digits of a number: the last ones of a sum differ between processors, and a model is known by its bytes."""
    return float(f"{value:.9g}")


def logits(tables: Tables, values: Floats) -> Floats:
    """Log-odds of many groups: the same numbers, bit for bit, as ``Tables.logit`` of each."""
    total = np.full(len(values), tables.intercept)
    for place, steps in enumerate(tables.steps):
        total += np.asarray(steps.values)[np.searchsorted(np.asarray(steps.cuts), values[:, place], side="left")]
    return total


def second_logits(tables: Tables, values: Floats) -> Floats:
    """The same of the second model, in the same order of sums."""
    line = tables.second
    total = np.full(len(values), line.intercept)
    for place in range(len(NAMES)):
        total += line.weights[place] * ((values[:, place] - line.centre[place]) / line.scale[place])
    return total

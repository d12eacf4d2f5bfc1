"""Scores that no model gave to what it learnt from: every tenant is scored by a model of the others alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nightdesk.autonomy.learning.calibration import calibrated
from nightdesk.autonomy.learning.matrices import Floats, labels, logits, matrix, second_logits
from nightdesk.autonomy.learning.model import DEFAULTS, Progress, Settings, counted, train
from nightdesk.autonomy.learning.rows import Row, Rows
from nightdesk.autonomy.learning.tables import Tables

__all__ = ["Fold", "Scored", "learn", "leave_one_out", "out_of_tenant"]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with their log-odds by both models; thresholds compare the first."""

    rows: tuple[Row, ...]
    logits: Floats
    second: Floats


@dataclass(frozen=True, slots=True)
class Fold:
    """A tenant that the model never saw. ``own`` are its rows, the unclear too, by ``tables`` of all the others.

    ``others`` are the others' rows, each tenant's by a model of neither it nor the one held out: threshold and
    calibration come from them.
    """

    tenant: str
    tables: Tables
    own: Scored
    others: dict[str, Scored]


def leave_one_out(
    rows: Rows,
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
) -> Iterator[Fold]:
    """Hold each tenant out in turn. A pair that is held out together shares one model."""
    tenants = rows.tenants
    inner: dict[tuple[str, str], Scored] = {}
    steps = len(tenants) * (len(tenants) - 1) // 2 + len(tenants)
    done = 0
    for pair in combinations(tenants, 2):
        learnt_from = tuple(name for name in tenants if name not in pair)
        tables = train(rows, learnt_from, settings)
        for held, scored in (pair, pair[::-1]):
            inner[held, scored] = _scored(tables, rows, scored, learnt_from)
        done += 1
        if progress:
            progress("models of all but two tenants", done, steps)
    for tenant in tenants:
        learnt_from = tuple(name for name in tenants if name != tenant)
        tables = train(rows, learnt_from, settings)
        done += 1
        if progress:
            progress("models of all but one tenant", done, steps)
        others = {name: inner[tenant, name] for name in learnt_from}
        fitted = _calibrated(tables, others)
        yield Fold(tenant, fitted, _scored(fitted, rows, tenant, learnt_from), others)


def out_of_tenant(
    rows: Rows,
    tenants: Sequence[str] = (),
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
) -> dict[str, Scored]:
    """Each tenant's rows by a model of the others among ``tenants``: what thresholds and calibration are made from."""
    names = tuple(tenants) or rows.tenants
    scored = {}
    for done, tenant in enumerate(names, 1):
        learnt_from = tuple(name for name in names if name != tenant)
        scored[tenant] = _scored(train(rows, learnt_from, settings), rows, tenant, learnt_from)
        if progress:
            progress("models of all but one tenant", done, len(names))
    return scored


def learn(
    rows: Rows, settings: Settings = DEFAULTS, progress: Progress | None = None, tenants: Sequence[str] = ()
) -> tuple[Tables, dict[str, Scored]]:
    """A model of all tenants (of ``tenants``), calibrated, and scores of those held out: thresholds come from them."""
    scored = out_of_tenant(rows, tenants, settings, progress)
    return _calibrated(train(rows, tenants, settings), scored), scored


def _calibrated(tables: Tables, held_out: Mapping[str, Scored]) -> Tables:
    rows = [row for one in held_out.values() for row in one.rows]
    clear = np.array([not row.judged.unclear for row in rows], dtype=np.bool_)
    scores = np.concatenate([one.logits for one in held_out.values()])
    second = np.concatenate([one.second for one in held_out.values()])
    return calibrated(tables, scores[clear], second[clear], labels(rows)[clear], counted(rows)[clear])


def _scored(tables: Tables, rows: Rows, tenant: str, learnt_from: Sequence[str]) -> Scored:
    chosen = rows.of([tenant])
    values = matrix(chosen, rows.fleet, learnt_from)
    return Scored(chosen, logits(tables, values), second_logits(tables, values))

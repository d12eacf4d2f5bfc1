import random
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from tests.judged_groups import a_fleet, a_group, a_tenant
from threadpoolctl import threadpool_limits

from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.learning.catalogue import INDEX, NAMES, SIGNS
from nightdesk.autonomy.learning.features import vector
from nightdesk.autonomy.learning.folds import learn, leave_one_out, out_of_tenant
from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.learning.matrices import Floats, Labels, labels, logits, matrix, second_logits
from nightdesk.autonomy.learning.model import Settings, counted, fit, train, weights
from nightdesk.autonomy.learning.rows import Rows, fewest_among, observe
from nightdesk.autonomy.learning.tables import Tables
from nightdesk.sdk.errors import NightdeskError

QUICK = Settings(iterations=40, fewest_in_leaf=10, shrinkage=10.0)


@cache
def a_set() -> Rows:
    return observe(a_fleet(4, days=3.0, attacks=3))


@cache
def a_model() -> Tables:
    return train(a_set(), settings=QUICK)


@cache
def the_matrix() -> tuple[Floats, Labels]:
    rows = a_set().of(a_set().tenants, clear=True)
    return matrix(rows, a_set().fleet, a_set().tenants), labels(rows)


def the_library(settings: Settings) -> HistGradientBoostingClassifier:
    """The same training by the library alone."""
    values, truth = the_matrix()
    model = HistGradientBoostingClassifier(
        learning_rate=settings.rate,
        max_iter=settings.iterations,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.fewest_in_leaf,
        l2_regularization=settings.shrinkage,
        interaction_cst="no_interactions",
        monotonic_cst=list(SIGNS),
        early_stopping=False,
        random_state=settings.seed,
    )
    with threadpool_limits(limits=1):
        return model.fit(values, truth, sample_weight=weights(a_set().of(a_set().tenants, clear=True)))


def test_the_tables_score_as_the_library_does() -> None:
    rich = Settings(iterations=80, fewest_in_leaf=5, shrinkage=0.1)
    tables, library = train(a_set(), settings=rich), the_library(rich)
    values, _ = the_matrix()
    rng = np.random.default_rng(0)
    strange = rng.uniform(values.min(axis=0) - 2, values.max(axis=0) + 2, size=(2000, len(NAMES)))
    at_cuts = [
        np.where(np.arange(len(NAMES)) == place, cut, values[0])
        for place, steps in enumerate(tables.steps)
        for cut in steps.cuts
    ]
    assert len(at_cuts) > 20
    for rows in (values, strange, np.array(at_cuts)):
        assert np.abs(logits(tables, rows) - library.decision_function(rows)).max() < 1e-9


def test_one_and_many_score_the_same_bits() -> None:
    values, _ = the_matrix()
    many, second = logits(a_model(), values), second_logits(a_model(), values)
    for place in range(0, len(values), 37):
        row = tuple(float(value) for value in values[place])
        assert a_model().logit(row) == many[place]
        assert a_model().second.logit(row) == second[place]


def test_law_11_the_same_rows_are_the_same_bytes() -> None:
    shuffled = sorted(a_fleet(4, days=3.0, attacks=3), key=lambda one: (one.group.rule, one.group.last))
    again = train(observe(shuffled), settings=QUICK)
    assert canonical(again.plain()) == canonical(a_model().plain())
    assert again.model_id == a_model().model_id


@pytest.mark.parametrize("machine", [{"OMP_NUM_THREADS": "2"}, {"OPENBLAS_CORETYPE": "Nehalem", "PYTHONHASHSEED": "3"}])
def test_law_11_threads_processor_and_hash_seed_change_no_byte(machine: dict[str, str]) -> None:
    code = (
        "from tests.judged_groups import a_fleet\n"
        "from nightdesk.autonomy.learning.folds import learn\n"
        "from nightdesk.autonomy.learning.rows import observe\n"
        "from nightdesk.autonomy.learning.model import Settings\n"
        "rows = observe(a_fleet(4, days=3.0, attacks=3))\n"
        "print(learn(rows, Settings(iterations=40, fewest_in_leaf=10, shrinkage=10.0))[0].model_id)"
    )
    environment = {"PYTHONPATH": ":".join(["src", ".", *sys.path])} | machine
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == learn(a_set(), QUICK)[0].model_id


def test_a_known_sign_holds_whatever_the_labels_say() -> None:
    values, truth = the_matrix()
    turned = ~truth
    for tables in (a_model(), fit(values, turned, np.ones(len(truth)), QUICK, tenants=4)):
        for steps, sign in zip(tables.steps, SIGNS, strict=True):
            rises = [after - before for before, after in zip(steps.values, steps.values[1:], strict=False)]
            assert all(rise * sign >= -1e-12 for rise in rises) or sign == 0


def test_it_learns_what_attacks_look_like_at_a_tenant_never_seen() -> None:
    for fold in leave_one_out(a_set(), QUICK):
        truth = labels(fold.own.rows)
        assert fold.tenant not in fold.others
        assert {row.judged.group.tenant for row in fold.own.rows} == {fold.tenant}
        lowest = min(fold.own.logits[truth])
        assert (fold.own.logits[~truth] < lowest).mean() > 0.8
        assert fold.tables.learnt[2] == ("tenants", 3)


def test_no_fold_learns_from_the_tenant_it_scores() -> None:
    """Turning the labels of the tenant held out round changes no score of it."""
    clean = {fold.tenant: fold for fold in leave_one_out(a_set(), QUICK)}
    turned = [
        replace(one, attack=not one.attack) if one.group.tenant == "t1" else one
        for one in a_fleet(4, days=3.0, attacks=3)
    ]
    dirty = {fold.tenant: fold for fold in leave_one_out(observe(turned), QUICK)}
    assert (dirty["t1"].own.logits == clean["t1"].own.logits).all()
    assert (dirty["t2"].own.logits != clean["t2"].own.logits).any()
    for tenant in ("t0", "t2", "t3"):
        assert (dirty[tenant].others["t1"].logits == clean[tenant].others["t1"].logits).all()


def test_each_tenant_is_scored_by_the_others() -> None:
    said: list[tuple[str, int, int]] = []
    scored = out_of_tenant(a_set(), settings=QUICK, progress=lambda *step: said.append(step))
    assert said == [("models of all but one tenant", done, 4) for done in (1, 2, 3, 4)]
    folds = {fold.tenant: fold for fold in leave_one_out(a_set(), QUICK)}
    for tenant, one in scored.items():
        assert (one.logits == folds[tenant].own.logits).all()


def test_what_is_learnt_is_calibrated_on_tenants_held_out() -> None:
    tables, scored = learn(a_set(), QUICK)
    assert (
        replace(tables, calibration=a_model().calibration, second_calibration=a_model().second_calibration) == a_model()
    )
    truth = np.concatenate([labels(one.rows) for one in scored.values()])
    said = [tables.calibration.probability(value) for one in scored.values() for value in one.logits]
    assert abs(sum(said) / len(said) - truth.mean()) < 0.01


def test_one_attack_told_many_times_counts_as_ten() -> None:
    rows = a_set().of(["t0"])
    attack = next(row for row in rows if row.judged.attack)
    benign = [row for row in rows if not row.judged.attack][:100]
    flood = [attack] * 1000
    assert counted([*flood, *benign])[:1000].sum() == pytest.approx(10.0)
    assert counted([attack, *benign]).tolist() == [1.0] * 101
    assert weights([attack, *benign])[0] == pytest.approx(10.0), "the root of 100 to 1"
    assert weights(benign).tolist() == [1.0] * 100


def test_the_unclear_is_context_and_never_learnt_from() -> None:
    unclear = [replace(one, unclear=one.group.rule == "nmap") for one in a_fleet(4)]
    rows = observe(unclear)
    assert not any(row.judged.group.rule == "nmap" for row in rows.of(rows.tenants, clear=True))
    assert any("nmap" in row.seen.around for row in rows.rows)
    assert "nmap" not in rows.fleet.rules


def test_a_group_given_twice_is_one_row() -> None:
    """At-least-once delivery (scenario 6), with one judgement that says attack."""
    fleet = a_fleet(4)
    doubled = [*fleet, *(replace(one, attack=False, group=replace(one.group, alerts=0)) for one in fleet), *fleet]
    again, once = observe(doubled), observe(fleet)
    assert [(row.judged, row.seen.values) for row in again.rows] == [(row.judged, row.seen.values) for row in once.rows]
    assert again.fleet == once.fleet


def test_a_group_that_grew_after_it_was_judged_stays_an_attack() -> None:
    judged = Judged(a_group(alerts=3), attack=True, incident="step")
    (row,) = observe([judged, Judged(a_group(alerts=9, lasts=50), attack=False)]).rows
    assert (row.judged.attack, row.judged.incident, row.judged.group.alerts) == (True, "step", 9)


def test_training_needs_both_kinds() -> None:
    with pytest.raises(NightdeskError, match="training needs attacks and benign groups; there are 0 attacks"):
        train(observe([one for one in a_fleet(3) if not one.attack]))


def test_a_split_never_lowers_the_bar_of_a_real_fleet() -> None:
    assert [fewest_among(others) for others in (0, 1, 2, 3, 7)] == [1, 1, 2, 3, 3]


def test_a_rule_of_a_tenant_never_heard_of_is_doubted() -> None:
    stranger = [
        Judged(replace(one.group, rule=f"their-{one.group.rule}"), attack=one.attack)
        for one in a_tenant("stranger", random.Random(9))
    ]
    rows = observe([*a_fleet(4, days=3.0, attacks=3), *stranger])
    view = rows.fleet.view("stranger")
    for row in rows.of(["stranger"])[:20]:
        found = vector(row.seen, view)
        assert a_model().doubts(found)[0] == f"unseen rule {row.judged.group.rule}"
        assert found.values[INDEX["rule_prior"]] == view.base

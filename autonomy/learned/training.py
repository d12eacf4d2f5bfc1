"""Judged groups to a model with its promises. Needs the extra ``learn``; using what comes out needs nothing.

The rows of all tenants are learnt from together and no row names anybody: it is numbers of the catalogue. Words (rules,
tools, tactics) enter as counts of other tenants alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from nightdesk.autonomy.grouping import group_id
from nightdesk.autonomy.learned.artefact import ANYBODY, Baseline, Claim, Learned, family
from nightdesk.autonomy.learning.features import vector
from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.learning.priors import Fleet
from nightdesk.autonomy.learning.rows import Row, Rows, observe
from nightdesk.autonomy.learning.tables import Tables
from nightdesk.autonomy.risk.distrust import Past, ceiling, distrusted
from nightdesk.autonomy.risk.threshold import Scored, backed_off, conformal_risk
from nightdesk.sdk.errors import NightdeskError

__all__ = ["FEWEST", "Held", "certified", "learnt"]

FEWEST = 3
"""Tenants with judged groups: one to be scored, one to calibrate on, one to learn from."""
_BINS = 8
_RECENT = 5_000
_MOVES = 0.1
"""Log-odds that a feature moves the score at least before its drift matters."""


@dataclass(frozen=True, slots=True)
class Held:
    """A judged case with the score of the group that looks most like an attack, by a model without its tenant.

    The case is what is closed, and only when all of its groups score low: so the highest one is the case's score, and
    groups of one case are no several witnesses. ``rule`` and ``key`` are that group's.
    """

    case_id: str
    rule: str
    key: str
    score: float
    attack: bool


def learnt(judged: Iterable[tuple[str, Judged]], *, alpha: float, delta: float) -> Learned:
    """Trains, calibrates and certifies on (case, judged group).

    Raises NightdeskError that says what to judge more of, ConfigError without the extra.
    """
    told = list(judged)
    case_of = {_place(one): case_id for case_id, one in told}
    rows = observe(one for _, one in told)
    names = tuple(name for name in rows.tenants if rows.of([name], clear=True))
    _enough(rows, names)
    from nightdesk.autonomy.learning.calibration import expected_error  # noqa: PLC0415  # needs the extra
    from nightdesk.autonomy.learning.folds import learn  # noqa: PLC0415  # needs the extra

    tables, scored = learn(rows, tenants=names)
    scores = {
        name: [
            (row.judged, float(logit))
            for row, logit in zip(one.rows, one.logits, strict=True)
            if not row.judged.unclear
        ]
        for name, one in scored.items()
    }
    flat = [one for some in scores.values() for one in some]
    held = {name: _cases(some, case_of) for name, some in scores.items()}
    attacks = [one.score for of in held.values() for one in of if one.attack]
    chances = [tables.calibration.probability(logit) for _, logit in flat]
    figures = {
        "groups": len(flat),
        "cases": sum(map(len, held.values())),
        "attacks": len(attacks),
        "tenants": len(names),
        "calibration_error": expected_error(chances, [one.attack for one, _ in flat]),
    }
    baselines = {name: _baseline(tables, rows.fleet, rows.of([name])) for name in rows.tenants}
    claims = certified(held, alpha, delta)
    return Learned(tables, rows.fleet, claims, tuple(sorted(attacks)), baselines, figures)


def certified(held: Mapping[str, Sequence[Held]], alpha: float, delta: float) -> dict[str, Claim]:
    """What may be promised to each tenant, and to one that was not there.

    A tenant's attacks are calibrated on with the rules that *other* tenants distrust, and never more is trusted in use:
    so the choice of rules and the ceiling are inside of the promise (decision record 26). A case belongs to the family
    of its highest group, which is known without knowing what it was.
    """
    past = {name: [Past(one.rule, one.score, one.attack) for one in of] for name, of in held.items()}
    top = ceiling(past.values())
    everybody = distrusted(past.values())
    others = {name: distrusted(of for other, of in past.items() if other != name) for name in past}
    families: dict[str, list[Scored]] = {}
    for name, of in held.items():
        for one in of:
            if one.attack:
                score = inf if one.rule in others[name] else one.score
                families.setdefault(family(one.rule), []).append(Scored(score, one.key, (name, one.case_id)))
    own, fleet = backed_off(families, alpha, delta)
    weaker = conformal_risk((one for of in families.values() for one in of), alpha)
    closing = {name: Claim.certificate(one, top) for name, one in own.items() if one is not fleet}

    def claim(distrust: frozenset[str]) -> Claim:
        return Claim(
            Claim.certificate(fleet, top), Claim.certificate(weaker, top), closing, distrust, fleet.missing, fleet.why
        )

    return {name: claim(everybody | others[name]) for name in held} | {ANYBODY: claim(everybody)}


def _cases(scores: Iterable[tuple[Judged, float]], case_of: Mapping[tuple[str, str, str, float], str]) -> list[Held]:
    """The cases of judged groups, each by its highest one."""
    found: dict[str, Held] = {}
    for one, score in scores:
        key = group_id(one.group)
        case_id = case_of.get(_place(one)) or key
        known = found.get(case_id)
        attack = one.attack or (known is not None and known.attack)
        if known is None or (score, key) > (known.score, known.key):
            found[case_id] = Held(case_id, one.group.rule, key, score, attack)
        elif attack and not known.attack:
            found[case_id] = replace(known, attack=True)
    return [found[name] for name in sorted(found)]


def _place(one: Judged) -> tuple[str, str, str, float]:
    return one.group.tenant, one.group.entity, one.group.rule, one.group.opened


def _enough(rows: Rows, names: Sequence[str]) -> None:
    """Raises NightdeskError unless every model that is needed has both kinds of groups to learn from."""
    clear = rows.of(names, clear=True)
    attacked = {row.judged.group.tenant for row in clear if row.judged.attack}
    calm = {row.judged.group.tenant for row in clear if not row.judged.attack}
    if len(names) >= FEWEST and min(len(attacked), len(calm)) >= 2:
        return
    raise NightdeskError(
        f"there is not enough to learn from: {len(names)} tenants have judged cases ({FEWEST} are needed), "
        f"{len(attacked)} of them confirmed attacks and {len(calm)} benign ones (2 each): judge more"
    )


def _baseline(tables: Tables, fleet: Fleet, rows: Sequence[Row]) -> Baseline:
    """How the features that move the score were distributed at that tenant."""
    if not rows:
        return {}
    view = fleet.view(rows[0].judged.group.tenant)
    values = [vector(row.seen, view).values for row in rows[-_RECENT:]]
    found = {}
    for place, steps in enumerate(tables.steps):
        if max(steps.values) - min(steps.values) < _MOVES:
            continue
        column = sorted(one[place] for one in values)
        cuts = sorted({column[len(column) * part // _BINS] for part in range(1, _BINS)})
        counts = [0] * (len(cuts) + 1)
        for value in column:
            counts[sum(value > cut for cut in cuts)] += 1
        found[steps.name] = (tuple(cuts), tuple(counts))
    return found

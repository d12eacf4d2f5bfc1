"""The oversight's own work: draws closures to look at, sees what became of canaries, and looks at every unit again.

It follows the recorded decisions and takes no part in them. One transaction a tenant and round, with its place in the
decisions: killed anywhere, it goes on where it stopped and draws nothing twice (law 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from nightdesk.autonomy.levels.gate import Asked, ask, gate_of, rules_closed_by
from nightdesk.autonomy.levels.units import Unit, classes_of, family_of, rule_keys
from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.autonomy.oversight.items import Item, Kind
from nightdesk.autonomy.oversight.sampling import Closure, Plan, bin_of, draw, is_double, plan, stratum_of
from nightdesk.hub.oversight.appraisal import Appraisal, another_version, appraise
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.store import canaries, cases, decisions, levels, samples
from nightdesk.hub.store.codec import decode_decision
from nightdesk.sdk.case import Decision, Mode, Outcome

__all__ = ["Round", "Rounds"]

_MEMORY = timedelta(days=90)
_SHADOWS_A_DAY = 10
_AGAIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one tenant did."""

    looked_at: int = 0
    drawn: tuple[str, ...] = ()
    settled: tuple[Canary, ...] = ()
    appraised: tuple[Appraisal, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.looked_at or self.drawn or self.settled)


@dataclass
class Rounds:
    """Every tenant's rounds. Blocking; one thread calls it. It remembers only what it can read again."""

    office: Office
    _plans: dict[str, tuple[date, Plan]] = field(default_factory=dict)
    _looked: dict[str, datetime] = field(default_factory=dict)

    def once(self, *, limit: int = 500) -> int:
        """One round of every tenant; how much there was to do."""
        rounds = [self.tenant(slug, limit=limit) for slug in self.office.tenants]
        return sum(one.looked_at + len(one.settled) for one in rounds)

    def tenant(self, tenant: str, *, limit: int = 500) -> Round:
        """One round of one tenant."""
        with self.office.store.read() as conn:
            idle = not samples.later_decisions(conn, tenant, samples.place(conn, tenant), limit=1)
        at = self.office.clock()
        due = at - self._looked.get(tenant, datetime.min.replace(tzinfo=at.tzinfo)) >= _AGAIN
        if idle and not due:
            return Round()
        done = self.office.store.transact(lambda conn: self._round(conn, tenant, at, limit, due=due))
        if due:
            self._looked[tenant] = at
        return done

    def _round(self, conn: Connection, tenant: str, at: datetime, limit: int, *, due: bool) -> Round:
        after = samples.looked_until(conn, tenant)
        rows = samples.later_decisions(conn, tenant, after, limit=limit)
        made = [decode_decision(record) for _, record in rows]
        fired = {Unit(tenant, asked.rule) for one in made for asked in _asked(one)}
        fired |= self._containing(conn, tenant, made)
        units = {unit for unit in fired if levels.standing(conn, unit).first_seen is None}
        drawn = self._drawn(conn, tenant, made, at)
        if rows:
            samples.looked_until(conn, tenant, rows[-1][0])
        settled = self._settled(conn, tenant, at)
        units |= {Unit(tenant, one.rule) for one in settled}
        acting = levels.acting(conn, tenant) if fired else []
        looked = [look for unit in sorted(fired) for look in another_version(conn, self.office, unit, acting, at=at)]
        if due:
            units |= {one.unit for one in levels.of_tenant(conn, tenant)}
        looked += [appraise(conn, self.office, unit, at=at) for unit in sorted(units)]
        return Round(len(rows), tuple(drawn), tuple(settled), tuple(looked))

    @staticmethod
    def _containing(conn: Connection, tenant: str, made: Sequence[Decision]) -> set[Unit]:
        """The units whose containments were proposed: they too are seen, and earn."""
        wanted = {one.case_id: classes_of(each.verb for each in one.proposals) for one in made if one.proposals}
        known = cases.cases(conn, tenant, wanted) if wanted else {}
        return {
            Unit(tenant, rule, decides)
            for case_id, classes in wanted.items()
            if case_id in known
            for rule in rule_keys(known[case_id].alerts)
            for decides in classes
        }

    def _drawn(self, conn: Connection, tenant: str, made: Sequence[Decision], at: datetime) -> list[str]:
        """Draws among closures, and among what would have been one; what would be contained waits to be judged too."""
        closures = [one for one in made if one.outcome is Outcome.CLOSE and one.mode is not Mode.HUMAN]
        undecided = {Outcome.CLOSE, Outcome.HOLD}  # what is held may yet be closed, and is drawn from then
        shadows = [one for one in made if one.outcome not in undecided and _would_act(one)]
        if not closures and not shadows:
            return []
        key, today = self.office.key(tenant), at.date()
        found: list[Item] = []
        numbers = self._numbered(conn, tenant, closures, today)
        chances = self._plan(conn, tenant, today) if closures else Plan()
        for one, closure in zip(closures, numbers, strict=True):
            told = draw(key, closure, chances)
            if told.drawn:
                found.append(_item(one, Kind.SAMPLE, closure.stratum, told.chance, at))
        found += self._shadows(conn, tenant, shadows, at)
        self._add_rules(conn, tenant, found)
        ids = []
        for item in found:
            stored = samples.draw(conn, item, key)
            if item.kind is Kind.SAMPLE and is_double(key, stored.item_id):
                samples.settle(conn, replace(stored, wanted=2))
            ids.append(stored.item_id)
        return ids

    def _numbered(self, conn: Connection, tenant: str, closures: Sequence[Decision], today: date) -> list[Closure]:
        found = []
        for one in closures:
            stratum = _stratum(one)
            nth = samples.count_closure(conn, tenant, today, stratum)
            since = [self._since_grant(conn, tenant, rule) for rule in rules_closed_by(one)]
            found.append(Closure(one.decision_id, stratum, nth, min(since, default=0)))
        return found

    def _since_grant(self, conn: Connection, tenant: str, rule: str) -> int:
        before = levels.standing(conn, Unit(tenant, rule)).closed_before
        return max(1, samples.count_unit(conn, tenant, rule) - before)

    def _plan(self, conn: Connection, tenant: str, today: date) -> Plan:
        known = self._plans.get(tenant)
        if known is None or known[0] != today:
            yesterday = today - timedelta(days=1)
            closed = samples.closed_by_stratum(conn, tenant, yesterday, yesterday)
            since = self.office.clock() - _MEMORY
            known = (today, plan(closed, samples.found_by_stratum(conn, tenant, since)))
            self._plans[tenant] = known
        return known[1]

    def _shadows(self, conn: Connection, tenant: str, made: Sequence[Decision], at: datetime) -> list[Item]:
        """What the machine would have done waits too, as many as evidence can count for a rule in a day."""
        waiting = samples.waiting(conn, tenant, {one.case_id for one in made})
        found = []
        for one in {one.case_id: one for one in made}.values():
            if one.case_id in waiting:
                continue
            stratum = _stratum(one)
            if samples.count_shadow(conn, tenant, at.date(), stratum.rpartition("#")[0]) <= _SHADOWS_A_DAY:
                found.append(_item(one, Kind.SHADOW, stratum, 1.0, at))
        return found

    def _add_rules(self, conn: Connection, tenant: str, found: list[Item]) -> None:
        """Items of signed closures name the detection rules too; the case is read for those that were drawn alone."""
        bare = {one.case_id for one in found if not one.rules}
        known = cases.cases(conn, tenant, bare) if bare else {}
        for place, item in enumerate(found):
            if not item.rules and item.case_id in known:
                rules = rule_keys(known[item.case_id].alerts)
                found[place] = replace(item, rules=rules)

    def _settled(self, conn: Connection, tenant: str, at: datetime) -> list[Canary]:
        """Canaries about which something was decided."""
        found = []
        for one in canaries.planted(conn, tenant):
            case_id = canaries.case_of(conn, one)
            if not case_id:
                continue
            after = one
            for decision in decisions.decisions(conn, tenant, case_id):
                if decision.mode is Mode.HUMAN or not _looked_at(decision, one.alert_id):
                    continue
                after = after.settled(
                    decision.outcome, case_id=case_id, decision_id=decision.decision_id, at=decision.decided_at
                )
            if after.state is not CanaryState.PLANTED:
                canaries.keep(conn, after, event="canary.settled", by="autonomy", at=at)
                found.append(after)
        return found


def _asked(decision: Decision) -> tuple[Asked, ...]:
    inputs = gate_of(decision)
    return inputs.rules if inputs is not None else ()


def _looked_at(decision: Decision, alert_id: str) -> bool:
    return any(row.get("alert_id") == alert_id for row in decision.inputs.get("alerts", ()))


def _would_act(decision: Decision) -> bool:
    if decision.mode is Mode.HUMAN:
        return False
    inputs = gate_of(decision)
    closes = inputs is not None and bool(ask(inputs).stand)
    return closes or bool(classes_of(one.verb for one in decision.proposals))


def _stratum(decision: Decision) -> str:
    """Score bin and rule family of what was closed; of what a signed rule closed or proposed, the rule."""
    if decision.proposals:
        wanted = sorted({rule for one in decision.proposals for rule in one.rules})
        return stratum_of(f"proposed:{'+'.join(wanted)}", -1)
    inputs = gate_of(decision)
    signed = decision.outcome is Outcome.CLOSE and not rules_closed_by(decision)
    if inputs is None or not inputs.rules or signed:
        named = "+".join(sorted({str(rule) for rule in decision.inputs.get("rules", ()) if rule}))
        return stratum_of(f"signed:{named}", -1)
    # The rule whose score is nearest to its threshold: where a miss would be.
    nearest = max(inputs.rules, key=lambda one: (bin_of(one.score, _tau(one)), one.rule))
    return stratum_of(family_of(nearest.rule), bin_of(nearest.score, _tau(nearest)))


def _tau(asked: Asked) -> float | None:
    return asked.closing.tau if asked.closing is not None else None


def _item(decision: Decision, kind: Kind, stratum: str, chance: float, at: datetime) -> Item:
    inputs = gate_of(decision)
    rules = tuple(sorted({one.rule for one in inputs.rules})) if inputs is not None else ()
    return Item(
        decision.tenant, "", kind, decision.case_id, decision.decision_id, rules, at, stratum=stratum, chance=chance
    )

"""Cases weighed as they are decided: scored by the champion, with the levels that count now; the gate's whole input.

Without a champion there is nothing to weigh and nothing is asked: only signed rules close then.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from nightdesk.autonomy.evidence import Evidence
from nightdesk.autonomy.learned.scoring import score_case
from nightdesk.autonomy.learned.watching import Window
from nightdesk.autonomy.learning.groups import Group
from nightdesk.hub.learning.champions import Champion, Champions
from nightdesk.hub.learning.histories import Histories
from nightdesk.hub.oversight.asking import Known, ScoredRule, containing, gate_inputs
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.store import groups
from nightdesk.sdk.case import Case

__all__ = ["Weighing"]


class Weighing:
    """Blocking; the thread of the pipeline calls it. It keeps only what it can read again."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._champions = Champions()
        self._histories = Histories()
        self._windows: dict[str, tuple[str, Window]] = {}

    def saw(self, tenant: str, seen: Iterable[Group]) -> None:
        """The pipeline counted these groups."""
        self._histories.saw(tenant, seen)

    def of(self, conn: Connection, tenant: str, found: Sequence[Case], now: datetime) -> Mapping[str, Evidence]:
        """By case what its decision is given."""
        champion = self._champions.now(conn)
        if champion is None:
            return {}
        known: Known = {}
        history = self._histories.of(conn, tenant, now)
        stored = groups.groups_of_cases(conn, tenant, [case.case_id for case in found])
        claim, view, window = champion.learned.claim(tenant), champion.view(tenant), self._window(tenant, champion)
        stale = champion.stale(now)
        made = {}
        for case in found:
            theirs = stored.get(case.case_id, [])
            scored = score_case(champion.learned, view, history, case, theirs, now)
            for (name, _), vector in zip(sorted(theirs, key=lambda one: one[0]), scored.seen, strict=True):
                window.see(name, vector, now.timestamp())
            scores = {
                rule: ScoredRule(one.score.logit, one.key, claim.of(one.learnt_rule), claim.recommending)
                for rule, one in scored.rules.items()
            }
            doubts = (*scored.doubts, stale) if stale else scored.doubts
            gate = gate_inputs(conn, self._office, case, scores, at=now, doubts=doubts, known=known)
            made[case.case_id] = Evidence(gate, scored.to_json())
        return made

    def containing(
        self, conn: Connection, tenant: str, found: Sequence[Case], now: datetime
    ) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """By case and decision class the detection rules that may contain alone; no model has a part in it."""
        return containing(conn, self._office, tenant, found, at=now)

    def alarms(self, tenant: str) -> tuple[str, ...]:
        """Which features of that tenant's groups are distributed otherwise than when the model was learnt."""
        found = self._windows.get(tenant)
        return () if found is None else found[1].alarms()

    def _window(self, tenant: str, champion: Champion) -> Window:
        name = champion.learned.model_id
        known = self._windows.get(tenant)
        if known is None or known[0] != name:
            known = self._windows[tenant] = name, Window(champion.learned.baselines.get(tenant, {}))
        return known[1]

"""Second sources: what other bound products saw of an action's target after it took effect (V3), and what follows.

Everything is in the journal (``action.result["witness"]``), so a hub that was killed goes on with the next look. A
contradiction is journalled, demotes the vendor's action and calls a person; it undoes nothing, and nothing that is seen
later clears it (law 7). A confirmation raises nothing either.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.ledger import IN_FORCE, Attention, Ledger
from nightdesk.autonomy.verification import RULES, Verdict, overall, witness_of
from nightdesk.hub.config import HubSettings, TenantSettings
from nightdesk.hub.hearing import Hearing, effect_of, grace_of, vendor_of
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.context import Clock

__all__ = ["Demote", "Witness"]

Demote = Callable[[str, Action, str], None]
"""Told the vendor, the action and the evidence: that vendor's action is not to be done alone in any tenant. Told again
after a crash, so the second time changes nothing."""

_S = ActionState
_FAMILIES = frozenset(RULES)
_STATES = IN_FORCE | {_S.CONTRADICTED, _S.UNDO_REQUESTED, _S.UNDO_FAILED}
"""Also what is being undone: what was seen of it before is followed up, however soon a person took it back."""
_AGAIN = 60.0  # seconds until a witness that did not answer is asked again
_AT_ONCE = 4
_ACTOR = "witness"


class Witness:
    """Looks at every effect that a second source can see. ``once`` does what is due and returns."""

    def __init__(
        self,
        settings: HubSettings,
        hearing: Hearing,
        engine: Engine,
        journal: SqlJournal,
        *,
        clock: Clock,
        demote: Demote,
        attention: Attention,
    ) -> None:
        self._settings = settings
        self._hearing = hearing
        self._engine = engine
        self._journal = journal
        self._ledger = Ledger(journal, clock, attention)
        self._clock = clock
        self._demote = demote
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def once(self) -> int:
        """One round over all effects; how many moves that were. What breaks with one action is raised at the end."""
        before = self._ledger.moves
        actions = await asyncio.to_thread(self._journal.of_families, _FAMILIES, _STATES)
        self._hearing.keep(actions)
        ends = await asyncio.gather(*(self._look(action) for action in actions), return_exceptions=True)
        broken = [end for end in ends if isinstance(end, BaseException) and not isinstance(end, StaleActionError)]
        if broken:
            raise broken[0]
        return self._ledger.moves - before

    async def _look(self, action: Action) -> None:
        tenant = self._settings.tenants.get(action.tenant)
        if tenant is None or action.verb not in RULES or action.effective_at is None or action.changed is False:
            return
        if witness_of(action).get("verdict") == Verdict.CONTRADICTED:
            self._follow(action, tenant)
            return
        if action.state not in IN_FORCE:
            return  # contradicted by a newer wish, or being undone: nobody lied
        async with self._room:
            found = await asyncio.to_thread(self._hearing.alerts, action, tenant)
            schedule = _Schedule(action, tenant)
            asked = schedule.is_due(self._clock())
            if asked:
                told = [
                    (name, await self._hearing.ask(action, tenant, name))
                    for name in self._hearing.independent(action, tenant)
                ]
                asked = bool(told)
                found |= dict(told)
        if found:
            try:
                self._note(action, tenant, found, schedule if asked else None)
            except StaleActionError:
                self._hearing.forget(action)
                raise

    def _note(
        self, action: Action, tenant: TenantSettings, found: Mapping[str, dict[str, Any]], schedule: "_Schedule | None"
    ) -> None:
        fresh = self._ledger.fresh(action)
        if fresh.state not in IN_FORCE:
            return  # undone meanwhile: what was seen may be the undo
        before = witness_of(fresh)
        by = {**before.get("by", {})}
        for name, record in found.items():
            # A doubt stays until a person has judged it: what is seen later takes nothing back.
            doubted = by.get(name, {}).get("verdict") == Verdict.DOUBTFUL and record["verdict"] != Verdict.CONTRADICTED
            by[name] = {**record, "verdict": by[name]["verdict"], "text": by[name]["text"]} if doubted else record
        verdict = overall(one["verdict"] for one in by.values())
        progress = {"over": before.get("over", False), "looks": before.get("looks", 0), "next": before.get("next", "")}
        if schedule is not None:
            down = any(one["verdict"] == Verdict.DOWN for one in by.values())
            progress = schedule.after(self._clock(), down=down)
        record = {**before, **progress, "by": by, "verdict": verdict.value}
        if verdict is Verdict.DOUBTFUL and before.get("verdict") != Verdict.DOUBTFUL:
            said = next(one["text"] for one in by.values() if one["verdict"] == Verdict.DOUBTFUL)
            self._ledger.call_person(fresh, f"{action.verb} of {action.target.key} may not have taken effect: {said}")
        moved = self._ledger.move(
            fresh,
            fresh.state,
            "; ".join(one["text"] for one in found.values()),
            actor=_ACTOR,
            result={"witness": record},
        )
        if verdict is Verdict.CONTRADICTED:
            self._follow(moved, tenant)

    def _follow(self, action: Action, tenant: TenantSettings) -> None:
        """Contradicted: said in the journal, the vendor's action demoted, each once however often this is begun."""
        record = witness_of(action)
        if record.get("demoted"):
            return
        name, said = next(
            (name, one["text"]) for name, one in record["by"].items() if one["verdict"] == Verdict.CONTRADICTED
        )
        if action.state in IN_FORCE:
            action = self._engine.contradict(action, said, actor=f"{_ACTOR} {name}")
        self._demote(vendor_of(action, tenant) or action.instance, action, said)
        self._ledger.move(
            action,
            action.state,
            "the vendor's action is demoted for every tenant",
            actor=_ACTOR,
            result={"witness": {**record, "demoted": True}},
        )


class _Schedule:
    """When an action is looked at, by the journal's times; a look that was missed is made up for by the next one."""

    def __init__(self, action: Action, tenant: TenantSettings) -> None:
        config, record = tenant.witness, witness_of(action)
        self._start = effect_of(action) + grace_of(action, tenant)
        self._looks = sorted(config.looks_seconds)
        self._deadline = self._start + timedelta(seconds=max(config.deadline_seconds, self._looks[-1]))
        self._done = int(record.get("looks", 0))
        self._over = bool(record.get("over"))
        self._next = str(record.get("next", ""))

    def is_due(self, now: datetime) -> bool:
        """True when the witnesses are to be asked now."""
        if self._over:
            return False
        return now >= datetime.fromisoformat(self._next) if self._next else self._passed(now) > self._done

    def after(self, now: datetime, *, down: bool) -> dict[str, Any]:
        """What the journal keeps of the place: one that did not answer is asked again until the deadline."""
        passed = self._passed(now)
        if down and now < self._deadline:
            again = min(now + timedelta(seconds=_AGAIN), self._deadline)
            return {"looks": passed, "next": again.isoformat(), "over": False}
        return {"looks": passed, "next": "", "over": passed >= len(self._looks)}

    def _passed(self, now: datetime) -> int:
        return sum(self._start + timedelta(seconds=one) <= now for one in self._looks)

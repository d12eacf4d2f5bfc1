"""The training job: from labels of all tenants to a challenger, from its time in shadow to the champion.

Every model is kept, whatever became of it. Killed anywhere, it begins again: nothing is stored before all is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.learned.artefact import ANYBODY, Learned
from nightdesk.autonomy.learned.training import learnt
from nightdesk.autonomy.learning.champion import Entry, Roster, Ruling, Standing, Trial
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.learning.labelled import judged_groups
from nightdesk.hub.learning.settings import LearningSettings
from nightdesk.hub.learning.trial import shadowed
from nightdesk.hub.store import Store, models
from nightdesk.sdk.context import Clock

__all__ = ["Trained", "Training"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run did: a model, and how it stands now; or the trial that still runs."""

    entry: Entry
    learned: Learned
    ruling: Ruling | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        claim = self.learned.claim(ANYBODY)
        return {
            "model": self.entry.model_id,
            "trained_at": self.entry.trained_at,
            "standing": self.entry.standing.value,
            "reason": self.ruling.reason if self.ruling is not None else self.entry.reason,
            "learnt_from": dict(self.learned.figures),
            "certified": claim.certified,
            "promise": claim.why,
            "more_attacks_needed": claim.missing,
            "tenants": {
                name: {"certified": one.certified, "distrusted": sorted(one.distrusted)}
                for name, one in self.learned.claims.items()
                if name != ANYBODY
            },
        }


@dataclass(frozen=True, slots=True)
class Training:
    """Blocking, and long: a minute for fifty thousand groups. One at a time; the store is only read meanwhile."""

    store: Store
    tenants: Mapping[str, TenantSettings]
    clock: Clock
    settings: LearningSettings

    def due(self) -> bool:
        """Whether to train: never while a challenger is on trial."""
        with self.store.read() as conn:
            on_trial = any(one.standing is Standing.CHALLENGER for one in models.entries(conn))
            last = models.newest_training(conn)
        return not on_trial and (last is None or self.clock() - last >= self.settings.every)

    def train(self) -> Trained:
        """Trains a challenger, or confirms the champion when it is the same to the bit; a running trial goes on.

        Raises NightdeskError that says what there is too little of, ConfigError without the extra ``learn``.
        """
        running = self.rule()
        if running is not None and running.ruling is not None and not running.ruling.decided:
            return running
        at = self.clock()
        with self.store.read() as conn:
            judged = judged_groups(conn, self.tenants, at - self.settings.memory)
        found = learnt(judged, alpha=self.settings.alpha, delta=self.settings.delta)

        def work(conn: Connection) -> Trained:
            roster = Roster(tuple(models.entries(conn))).challenge(found.model_id, at)
            entry = next(one for one in roster.entries if one.model_id == found.model_id)
            models.keep(conn, entry, found)
            models.restate(conn, entry, at=at, detail=dict(found.figures))
            return Trained(entry, found)

        done = self.store.transact(work)
        _log.info("trained", model=found.model_id[:12], standing=done.entry.standing.value, **found.figures)
        return done

    def rule(self) -> Trained | None:
        """Rules on the challenger if there is one, once it has scored enough cases in shadow."""
        at = self.clock()
        with self.store.read() as conn:
            entries = models.entries(conn)
            entry = next((one for one in entries if one.standing is Standing.CHALLENGER), None)
            if entry is None:
                return None
            before = models.champion(conn)
            found = models.learned(conn, entry.model_id)
            trial = shadowed(
                conn, self.tenants, before[1] if before else None, found, entry.since or entry.trained_at, at
            )
        return self.store.transact(lambda conn: self._ruled(conn, found, trial, at))

    def _ruled(self, conn: Connection, found: Learned, trial: Trial, at: datetime) -> Trained:
        before = tuple(models.entries(conn))
        roster, ruling = Roster(before, trial).ruled(at, cases=self.settings.cases)
        for old, new in zip(before, roster.entries, strict=True):
            if old != new:
                models.restate(conn, new, at=at, detail={"closed": ruling.closed, "caught": ruling.caught})
        entry = next(one for one in roster.entries if one.model_id == found.model_id)
        if ruling.decided:
            _log.info("model ruled on", model=entry.model_id[:12], standing=entry.standing.value, reason=ruling.reason)
        return Trained(entry, found, ruling)

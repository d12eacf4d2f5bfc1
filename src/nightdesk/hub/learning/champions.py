"""The model that decides, read again whenever it is another one: by every process, with nobody having to be told."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from nightdesk.autonomy.learned.artefact import Learned
from nightdesk.autonomy.learning.priors import View
from nightdesk.hub.store import models
from nightdesk.hub.store.models import InUse

__all__ = ["STALE", "Champion", "Champions"]

STALE = timedelta(days=7)
"""A model that was not trained, tried or confirmed for longer is no longer believed."""


@dataclass
class Champion:
    """A model in use, with each tenant's view of what rules meant at the others.

    ``known_at`` is when it was last held against what comes in: trained, or at the end of its trial in shadow. By its
    training alone a small fleet would have no model that is young enough once its trial is over.
    """

    learned: Learned
    trained_at: datetime
    known_at: datetime
    _views: dict[str, View] = field(default_factory=dict, repr=False)

    def view(self, tenant: str) -> View:
        """What that tenant may know of the others: counts of rules that at least three others stand behind (law 3)."""
        found = self._views.get(tenant)
        if found is None:
            found = self._views[tenant] = self.learned.fleet.view(tenant)
        return found

    def stale(self, now: datetime) -> str:
        """Why its age is a doubt; empty while it is young enough."""
        age = now - self.known_at
        return f"the model is {age.days} days old, {STALE.days} are allowed" if age > STALE else ""


class Champions:
    """The champion of a store, kept while it is the same."""

    def __init__(self) -> None:
        self._known: tuple[InUse, Champion] | None = None

    def now(self, conn: Connection) -> Champion | None:
        """The model in use; None before there was one. Raises ConfigError when what is stored is damaged."""
        key = models.in_use(conn)
        if key is None:
            self._known = None
            return None
        if self._known is None or self._known[0] != key:
            entry, learned = models.model(conn, key.model_id)
            known_at = max(key.trained_at, entry.since or key.trained_at)
            self._known = key, Champion(learned, key.trained_at, known_at)
        return self._known[1]

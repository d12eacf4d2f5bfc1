"""Learning beside the running hub: rules on a challenger, looks whether the model still fits, trains once a day."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from nightdesk.hub.config import HubSettings
from nightdesk.hub.learning.settings import LearningSettings
from nightdesk.hub.learning.training import Training
from nightdesk.hub.learning.watch import Watch
from nightdesk.hub.learning.weighing import Weighing
from nightdesk.hub.oversight.office import Office
from nightdesk.sdk.errors import NightdeskError

__all__ = ["Learning"]

_log = structlog.get_logger(__name__)
_ASKS = timedelta(hours=1)


class Learning:
    """Its parts: ``weighing`` is asked by the pipeline, ``training`` by whoever trains by hand."""

    def __init__(self, settings: HubSettings, office: Office, learning: LearningSettings | None = None) -> None:
        self.weighing = Weighing(office)
        chosen = learning or settings.learning.settings()
        self.training = Training(office.store, settings.tenants, office.clock, chosen)
        self.watch = Watch(office.store, tuple(settings.tenants), office.clock, self.weighing.alarms)
        self._clock = office.clock
        self._asked: datetime | None = None

    def once(self) -> int:
        """What takes no time: looks at the model, and once an hour at its challenger. How much was news."""
        news = self.watch.once()
        at = self._clock()
        if self._asked is None or at - self._asked >= _ASKS:
            self._asked = at
            done = self.training.rule()
            news += done is not None and done.ruling is not None and done.ruling.decided
        return news

    def daily(self, tell: Callable[[str], None]) -> bool:
        """Trains if a training is due; ``tell`` hears why it could not be."""
        if not self.training.due():
            return False
        try:
            self.training.train()
        except NightdeskError as error:
            tell(str(error))
            return False
        return True

    async def run(self, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        """Trains whenever it is due, until ``stop``. Neither a crash of a training nor its length stops the hub."""
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.daily, tell)
            except Exception:  # noqa: BLE001  # isolation point: the hub goes on with the model it has
                _log.exception("training failed")
            try:
                async with asyncio.timeout(_ASKS.total_seconds()):
                    await stop.wait()
            except TimeoutError:
                continue

"""The Kafka topic: every partition from the cursor's offset to its end as that was when the pull began."""

import asyncio
from collections.abc import AsyncIterator

from nightdesk.connectors.kafka_topic.client import Topic
from nightdesk.connectors.kafka_topic.offsets import Offsets
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import MappingError, NightdeskError, UnsupportedError
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Batch, Cursor, Failure, RawRecord

__all__ = ["Connector"]

_STREAM = "messages"


class Connector:
    """One topic of one cluster."""

    def __init__(self, context: Context) -> None:
        self._topic = Topic(context)
        self._product = context.settings.text("product", "auto")
        self._from_end = context.settings.text("from") == "end"

    async def aclose(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._topic.close)

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Pages until every partition is read to where it ended when this began."""
        if stream != _STREAM:
            raise UnsupportedError(f"kafka_topic: no stream {stream!r}; there is {_STREAM}")
        offsets = Offsets.load(cursor, self._topic.name)
        ends = await asyncio.to_thread(self._topic.ends)
        notes = offsets.settle(ends, from_end=self._from_end and cursor is None)
        left = offsets.left(ends)
        if notes or not left:
            yield Batch((), offsets.dump(), tuple(_failure(note) for note in notes), more=bool(left))
        if not left:
            return
        reading = await asyncio.to_thread(self._topic.read, left)
        try:
            more = True
            while more:
                messages = await asyncio.to_thread(reading.page, max(1, limit))
                records = [
                    RawRecord(one.value, one.key, product=self._product, media_type=_media_type(one.value))
                    for one in messages
                    if one.value
                ]
                offsets.move(reading.positions)
                more = not reading.done
                yield Batch(records, offsets.dump(), more=more)
        finally:
            reading.end()

    async def check_health(self) -> Health:
        """Whether the brokers let us in and the topic's partitions have leaders."""
        try:
            await asyncio.to_thread(self._topic.ends)
        except NightdeskError as error:
            return Health(False, (str(error),))
        return Health(True)


def _media_type(value: bytes) -> str:
    return "application/json" if value.lstrip().startswith(b"{") else "text/plain"


def _failure(note: str) -> Failure:
    """What cannot be had any more, set aside where people look for what is missing."""
    return Failure(note.encode(), note, MappingError(note, source="kafka_topic"))

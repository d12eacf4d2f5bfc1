"""The next offset of every partition: what the cursor holds, and what it means against what the brokers still have."""

from collections.abc import Mapping
from typing import NamedTuple

from nightdesk.sdk.errors import CursorExpiredError
from nightdesk.sdk.records import Cursor

__all__ = ["Ends", "Offsets"]


class Ends(NamedTuple):
    """The oldest offset that a partition still has, and the one that its next message will get."""

    first: int
    next: int


class Offsets:
    """Where reading stands in one topic."""

    def __init__(self, topic: str, at: Mapping[int, int]) -> None:
        self._topic = topic
        self._at = dict(at)

    @classmethod
    def load(cls, cursor: Cursor | None, topic: str) -> "Offsets":
        """Raises CursorExpiredError for a cursor that is not ours, or of another topic."""
        if cursor is None:
            return cls(topic, {})
        try:
            found = {int(number): int(offset) for number, offset in cursor["offsets"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _expired("the stored cursor is not one of ours") from error
        if cursor.get("topic") != topic:
            raise _expired(f"the stored cursor is of the topic {cursor.get('topic')!r}, the settings name {topic!r}")
        return cls(topic, found)

    def dump(self) -> Cursor:
        """As it is stored."""
        return {"topic": self._topic, "offsets": {str(number): offset for number, offset in sorted(self._at.items())}}

    def settle(self, ends: Mapping[int, Ends], *, from_end: bool) -> list[str]:
        """Takes in new partitions and leaves what is no longer there; returns a note on each thing that may be lost."""
        gone = sorted(self._at.keys() - ends.keys())
        notes = [f"partition {one} of {self._topic} is gone, read up to offset {self._at.pop(one)}" for one in gone]
        for number, end in sorted(ends.items()):
            at = self._at.get(number)
            if at is None:
                self._at[number] = end.next if from_end else end.first
            elif at < end.first:
                notes.append(
                    f"offsets {at} to {end.first - 1} of partition {number} of {self._topic} were deleted before they "
                    "were read: lengthen the topic's retention"
                )
                self._at[number] = end.first
            elif at > end.next:
                notes.append(
                    f"partition {number} of {self._topic} ends at offset {end.next}, before {at} that we stood at: it "
                    "was made anew or lost its newest messages, and is read from its beginning"
                )
                self._at[number] = end.first
        return notes

    def left(self, ends: Mapping[int, Ends]) -> dict[int, tuple[int, int]]:
        """By partition what is to be read: from this offset on, to before that one."""
        return {
            number: (self._at[number], end.next) for number, end in ends.items() if self._at.get(number, 0) < end.next
        }

    def move(self, positions: Mapping[int, int]) -> None:
        """After a page."""
        self._at.update(positions)


def _expired(why: str) -> CursorExpiredError:
    return CursorExpiredError(
        f"{why}: the topic is read from its beginning", vendor="kafka_topic", operation="read messages"
    )

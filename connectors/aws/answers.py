"""What goes into and comes out of one exchange with AWS, without anything of its SDK."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nightdesk.sdk.retry import http_date

__all__ = ["Answer", "BrokenAnswerError", "Keys", "StrayRequestError"]


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request is signed with; ``token`` belongs to temporary ones. Not to be shown."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: as the SDK reads it, and the bytes that came. ``refusal`` is an error code that was expected."""

    document: Mapping[str, Any]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""

    @property
    def moment(self) -> int | None:
        """When the vendor answered by its own clock, in nanoseconds, whole seconds; None when it does not say."""
        date = http_date(self.headers.get("date"))
        return None if date is None else int(date.timestamp()) * 1_000_000_000

    def rows(self, *path: str) -> list[dict[str, Any]]:
        """The objects of the list at that path; none when it is absent."""
        found: Any = self.document
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


class BrokenAnswerError(Exception):
    """An answer that is cut short (``lost``), or is something else than what was asked for."""

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class StrayRequestError(Exception):
    """The SDK was about to ask another host."""

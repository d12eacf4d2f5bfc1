"""What a write-back wants of a vendor's alert, in our words, and how those words and the vendor's fit together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command

__all__ = ["DISPOSITIONS", "Verdicts", "Wish", "is_ours", "marker"]

DISPOSITIONS = (
    "true-positive",
    "likely-true-positive",
    "benign-positive",
    "likely-false-positive",
    "false-positive",
    "duplicate",
    "test",
    "undetermined",
)
"""Our words for what an alert turned out to be."""

_MARKER = re.compile(r"\[nightdesk [0-9a-f]{16}\]")
_STATUSES = ("open", "closed")
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "alert.set_disposition": ("status", "disposition", "comment"),
    "alert.comment": ("comment",),
}


def marker(command: Command) -> str:
    """What every text of this command ends with, so that a repeat finds it: no vendor's comments are idempotent."""
    return f"[nightdesk {sha256(command.idempotency_key.encode()).hexdigest()[:16]}]"


def is_ours(text: str) -> bool:
    """Whether a text at a vendor was written by a command of ours: what we said is no news (no echo)."""
    return _MARKER.search(text) is not None


@dataclass(frozen=True, slots=True)
class Wish:
    """One write-back. None: leave it; an empty disposition: none. ``comment`` ends with ``marker``, or is empty."""

    status: str | None
    disposition: str | None
    comment: str
    marker: str

    @classmethod
    def of(cls, command: Command) -> "Wish":
        """Reads the command. Raises UnsupportedError for a parameter, RejectedError for a word that we do not have."""
        command.only(*_PARAMETERS.get(command.verb, ()))
        status, word = (command.parameters.get(name) for name in ("status", "disposition"))
        if status is not None and status not in _STATUSES:
            raise RejectedError(f"status {status!r}: write one of {', '.join(_STATUSES)}")
        if word is not None:
            word = str(word).replace("_", "-")
            if word and word not in DISPOSITIONS:
                raise RejectedError(f"disposition {word!r}: write one of {', '.join(DISPOSITIONS)}, or '' for none")
        comment = str(command.parameters.get("comment") or "").strip()
        if command.verb == "alert.comment" and not comment:
            raise RejectedError(f"{command.verb} on {command.native_id}: the comment is empty")
        mark = marker(command)
        return cls(status, word, f"{comment} {mark}" if comment else "", mark)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A vendor's words for verdicts beside ours; ``title`` is its name in a loss.

    ``to_vendor`` has every word of ``DISPOSITIONS``, and what no verdict at all is called under ``""``; ``to_ours``
    says what each vendor's word reads as.
    """

    title: str
    to_vendor: Mapping[str, str]
    to_ours: Mapping[str, str]

    def word(self, disposition: str) -> str:
        """The vendor's word for ours."""
        return self.to_vendor.get(disposition, "")

    def ours(self, word: str) -> str:
        """Our word for the vendor's; empty for none and for one that is not known."""
        return self.to_ours.get(word, "")

    def losses(self, wish: Wish) -> tuple[str, ...]:
        """What the vendor's scale cannot say of the wish."""
        if wish.disposition is None or self.ours(self.word(wish.disposition)) == wish.disposition:
            return ()
        word = self.word(wish.disposition)
        return (f"disposition={wish.disposition}: {self.title} keeps it as {word or 'no verdict'}",)

    def repeated(self, command: Command, wish: Wish) -> bool:
        """True when an alert that is already so was made so by an earlier try of this command, as pre-state shows."""
        before = command.pre_state
        otherwise = "status" in before and wish.status not in {None, before["status"]}
        if "disposition" not in before or wish.disposition is None:
            return otherwise
        return otherwise or self.word(wish.disposition) != self.word(str(before["disposition"] or ""))

"""The words of a review: our statuses and verdicts as this tenant's own status and disposition ids, and back.

Both lists can be customised at the vendor, so they are read (``/services/alerts/reviewstatuses``), never assumed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.sdk.case import Verdict
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command

__all__ = ["Vocabulary", "Wanted", "marker", "refusal"]

_CLOSED, _NEW = "5", "1"
_UNASSIGNED = "disposition:0"
_NEAREST = "disposition: {word} is written as the nearest of Splunk's, {label}"
_DISPOSITIONS: Mapping[str, tuple[str, bool]] = {
    # Our word: Splunk's shipped id, and whether the two mean the same.
    Verdict.TRUE_POSITIVE: ("disposition:1", True),
    Verdict.LIKELY_TRUE_POSITIVE: ("disposition:1", False),
    Verdict.BENIGN_POSITIVE: ("disposition:2", True),
    Verdict.FALSE_POSITIVE: ("disposition:3", True),
    Verdict.LIKELY_FALSE_POSITIVE: ("disposition:3", False),
    Verdict.UNDETERMINED: ("disposition:6", True),
    Verdict.DUPLICATE: ("disposition:5", False),
    Verdict.TEST: ("disposition:5", False),
}
_WORDS: Mapping[str, str] = {
    _UNASSIGNED: "",
    "disposition:1": Verdict.TRUE_POSITIVE,
    "disposition:2": Verdict.BENIGN_POSITIVE,
    "disposition:3": Verdict.FALSE_POSITIVE,
    "disposition:4": Verdict.FALSE_POSITIVE,
    "disposition:5": "other",
    "disposition:6": Verdict.UNDETERMINED,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command asks for in this tenant's ids; None leaves a field as it is."""

    status: str | None
    disposition: str | None
    losses: tuple[str, ...]

    def form(self) -> dict[str, str]:
        """The fields to send."""
        return {
            name: value
            for name, value in (("status", self.status), ("disposition", self.disposition))
            if value is not None
        }


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Enabled statuses and dispositions of one tenant as id to label; ``ends`` are the statuses that close."""

    statuses: Mapping[str, str]
    dispositions: Mapping[str, str]
    ends: frozenset[str]

    @classmethod
    def of(cls, answer: Any) -> "Vocabulary":
        """From the answer of ``reviewstatuses``, where numbers and flags are often strings."""
        entries = [entry for entry in (answer.get("entry") or []) if isinstance(entry, Mapping)]
        enabled = [entry for entry in entries if not _true(_content(entry).get("disabled"))]
        found: dict[str, dict[str, str]] = {"notable": {}, "disposition": {}}
        for entry in enabled:
            content = _content(entry)
            if content.get("status_type") in found:
                name = str(entry.get("name"))
                found[content["status_type"]][name] = str(content.get("label") or name)
        ends = frozenset(str(entry.get("name")) for entry in enabled if _true(_content(entry).get("end")))
        return cls(found["notable"], found["disposition"], (ends & set(found["notable"])) or frozenset({_CLOSED}))

    def state(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The review of a row in our words and in Splunk's: all that an undo needs."""
        status, disposition = str(row.get("status") or ""), str(row.get("disposition") or "")
        return {
            "status": "closed" if status in self.ends else "open",
            "disposition": self._disposition_word(disposition),
            "native_status": status,
            "native_disposition": disposition,
            "owner": str(row.get("owner") or ""),
            "urgency": str(row.get("urgency") or ""),
        }

    def wanted(self, command: Command) -> Wanted:
        """The ids a command asks for. Raises RejectedError that lists what this tenant has.

        What a pre-state holds in Splunk's ids is restored exactly: "open" may have been "In Progress".
        """
        status, disposition = command.parameters.get("status"), command.parameters.get("disposition")
        before = command.pre_state
        if status is None and disposition is None:
            status, disposition = before.get("native_status"), before.get("native_disposition")
        if status is None and disposition is None:
            raise RejectedError("splunk_es: alert.set_disposition needs a status or a disposition")
        losses: list[str] = []
        return Wanted(
            None if status is None else self._status(str(status), str(before.get("native_status", ""))),
            None
            if disposition is None
            else self._disposition(str(disposition), str(before.get("native_disposition", "")), losses),
            tuple(losses),
        )

    def matches(self, state: Mapping[str, Any], command: Command) -> bool:
        """True when a state is what the command asks for, in its own words or in Splunk's."""
        wanted, asked = self.wanted(command), command.parameters
        return all(
            state[f"native_{name}"] == native or (name in asked and state[name] == asked[name])
            for name, native in wanted.form().items()
        )

    def _status(self, word: str, before: str) -> str:
        if word not in {"open", "closed"}:
            return _named(word, self.statuses, "status")
        fits = [one for one in self.statuses if (one in self.ends) == (word == "closed")]
        for choice in (before, _CLOSED if word == "closed" else _NEW):
            if choice in fits:
                return choice
        if not fits:
            raise RejectedError(f"splunk_es: no enabled status means {word}; there are {_listed(self.statuses)}")
        return fits[0]

    def _disposition(self, word: str, before: str, losses: list[str]) -> str | None:
        if not self.dispositions:
            losses.append("disposition: this version of Enterprise Security has none")
            return None
        if before in self.dispositions and word == self._disposition_word(before):
            return before
        native, exact = _DISPOSITIONS.get(word, ("", True))
        if not native:
            return _named(word or _UNASSIGNED, self.dispositions, "disposition")
        if native not in self.dispositions:
            raise RejectedError(f"splunk_es: no enabled disposition for {word}; there are {_listed(self.dispositions)}")
        if not exact:
            losses.append(_NEAREST.format(word=word, label=self.dispositions[native]))
        return native

    def _disposition_word(self, native: str) -> str:
        return str(_WORDS.get(native, self.dispositions.get(native, native)))


def marker(idempotency_key: str) -> str:
    """What a comment of ours carries, so that a repeated command finds that it was carried out."""
    return f"[nightdesk:{idempotency_key}]"


def refusal(answer: Any) -> str:
    """Why ``notable_update`` did not do it, '' when it did: neither its HTTP 200 nor ``success`` alone says so."""
    if not isinstance(answer, Mapping):
        return str(answer)
    said = str(answer.get("message") or "no reason given")
    if not _true(answer.get("success")):
        return said
    done, failed = (int(answer.get(name, default)) for name, default in (("success_count", 1), ("failure_count", 0)))
    return "" if done >= 1 and not failed else f"{done} updated, {failed} failed: {said}"


def _named(word: str, there: Mapping[str, str], kind: str) -> str:
    for native, label in there.items():
        if word == native or word.casefold() == label.casefold():
            return native
    raise RejectedError(f"splunk_es: no enabled {kind} {word!r}; there are {_listed(there)}")


def _listed(there: Iterable[str] | Mapping[str, str]) -> str:
    labels = there.values() if isinstance(there, Mapping) else there
    return ", ".join(sorted(labels)) or "none"


def _content(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    content = entry.get("content")
    return content if isinstance(content, Mapping) else {}


def _true(value: Any) -> bool:
    return str(value).strip().lower() in {"1", "true", "t"}

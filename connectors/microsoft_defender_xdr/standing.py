"""What the list of a machine's actions amounts to: what holds, what is on its way, what failed.

No machine says whether it is isolated or restricted. What holds is what the newest succeeded action of the pair did.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.triage import marker

__all__ = ["CALLS", "Call", "Row", "Standing", "failed", "is_open", "is_ours", "newest", "progress", "same_file"]

_FAILED = frozenset({"failed", "timeout", "cancelled"})
_OPEN = frozenset({"pending", "inprogress"})
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One verb's call. ``against`` is the type that undoes it; ``holds`` what the pair is about and what it becomes."""

    path: str
    kind: str
    role: str
    against: str = ""
    holds: tuple[str, bool] = ("", True)


CALLS: Mapping[str, Call] = {
    "host.isolate": Call("isolate", "Isolate", "Machine.Isolate", "Unisolate", ("isolated", True)),
    "host.release": Call("unisolate", "Unisolate", "Machine.Isolate", "Isolate", ("isolated", False)),
    "host.restrict_execution": Call(
        "restrictCodeExecution",
        "RestrictCodeExecution",
        "Machine.RestrictExecution",
        "UnrestrictCodeExecution",
        ("restricted", True),
    ),
    "host.lift_restriction": Call(
        "unrestrictCodeExecution",
        "UnrestrictCodeExecution",
        "Machine.RestrictExecution",
        "RestrictCodeExecution",
        ("restricted", False),
    ),
    "host.scan": Call("runAntiVirusScan", "RunAntiVirusScan", "Machine.Scan"),
    "host.collect_evidence": Call(
        "collectInvestigationPackage", "CollectInvestigationPackage", "Machine.CollectForensics"
    ),
    "file.quarantine": Call("StopAndQuarantineFile", "StopAndQuarantineFile", "Machine.StopAndQuarantine"),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a machine's actions of one pair amount to. ``last`` succeeded last, ``waiting`` are open, newest first."""

    rows: tuple[Row, ...]
    last: Row | None
    waiting: tuple[Row, ...]

    def on(self, call: Call) -> bool:
        """Whether the restriction that the pair is about holds."""
        doing = call.kind if call.holds[1] else call.against
        return self.last is not None and low(self.last, "type") == doing.lower()

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Standing":
        """What these rows, newest first, amount to; of two that succeeded the one that ended later counts."""
        every = tuple(rows)
        done = [row for row in every if low(row, "status") == "succeeded"]
        return cls(every, max(done, key=_ended, default=None), tuple(row for row in every if is_open(row)))

    def open(self, kind: str) -> Row | None:
        """The newest open action of that type."""
        return next((row for row in self.waiting if low(row, "type") == kind.lower()), None)

    def failed(self, kind: str, command: Command) -> bool:
        """True when the newest action of that type is the command's own and came to nothing."""
        row = next((row for row in self.rows if low(row, "type") == kind.lower()), None)
        return row is not None and failed(row) and is_ours(row, command)


def low(row: Row, name: str) -> str:
    """A word without its letter case, which differs between resources."""
    return str(row.get(name) or "").lower()


def is_open(row: Row) -> bool:
    """Neither done nor given up."""
    return low(row, "status") in _OPEN


def failed(row: Row) -> bool:
    """Ended without an effect."""
    return low(row, "status") in _FAILED


def is_ours(row: Row | None, command: Command) -> bool:
    """True when this very command asked for it, in this try or an earlier one."""
    return row is not None and marker(command) in str(row.get("requestorComment") or "")


def same_file(row: Row, sha1: str) -> bool:
    """True when the action is about that file, or no file is meant."""
    about = row.get("relatedFileInfo")
    return not sha1 or (isinstance(about, Mapping) and str(about.get("fileIdentifier") or "").lower() == sha1)


def newest(rows: Iterable[Row], command: Command, sha1: str) -> Row | None:
    """Of rows, newest first, the one that answers the command: its own, or somebody's that was still going on then."""
    asked = int(command.requested_at.timestamp() * 1_000_000) * 1000
    about = [row for row in rows if same_file(row, sha1)]
    own = next((row for row in about if is_ours(row, command)), None)
    return own or next((row for row in about if is_open(row) or (not failed(row) and _ended(row)[0] >= asked)), None)


def progress(row: Row | None) -> Effect:
    """How far one action is."""
    if row is None:
        return Effect.NOT_IN_EFFECT
    if low(row, "status") == "succeeded":
        return Effect.IN_EFFECT
    if is_open(row):
        return Effect.PENDING
    return Effect.FAILED if failed(row) else Effect.UNKNOWN


def _ended(row: Row) -> tuple[int, int]:
    """When it last changed; the list and the single action call it differently."""
    changed = row.get("lastUpdateDateTimeUtc") or row.get("lastUpdateTimeUtc")
    return instant(changed) or 0, instant(row.get("creationDateTimeUtc")) or 0

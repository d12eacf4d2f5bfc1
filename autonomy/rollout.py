"""A new policy in some tenants first: which of them it decides in, and what must not happen there; pure.

Rings are entered one after the other. Whatever goes wrong anywhere ends it everywhere in one step: from the next
decision on the policy of before decides again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import ceil

__all__ = ["Margins", "Rollout", "RolloutState", "Watched", "allowed_closes", "breach"]


class RolloutState(StrEnum):
    """Where it stands."""

    RUNNING = "running"
    FINISHED = "finished"
    """Every ring is entered; it decides until the configuration names another policy than before it."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Margins:
    """How far a canary tenant may be from what the backtest said.

    Of n decisions at most ``expected * n * (1 + closes) + spare`` may be closes. Actions may end badly
    ``failures`` times, and more often only while their share stays under twice the usual and five in a hundred.
    """

    closes: float = 0.25
    spare: int = 3
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Rollout:
    """One policy on its way. ``rings`` are slugs of tenants, ``ring`` the index of the last one entered.

    By tenant: ``before`` the SHA-256 of the policy that decided, ``expected`` the share of closes, ``failing`` the
    usual share of actions that end badly, ``since`` when it began to decide there.
    ``reviewed`` counts, once stopped, up to which decision (by tenant) its closures were looked at again.
    """

    rollout_id: str
    policy_id: str
    version: str
    sha256: str
    rings: tuple[tuple[str, ...], ...]
    state: RolloutState
    reason: str
    changed_by: str
    changed_at: datetime
    started_by: str
    started_at: datetime
    ring: int = 0
    asked_by: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    failing: Mapping[str, float] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    reviewed: Mapping[str, int] = field(default_factory=dict)
    margins: Margins = field(default_factory=Margins)

    @property
    def entered(self) -> tuple[str, ...]:
        """The tenants it decides in, or did."""
        return tuple(tenant for ring in self.rings[: self.ring + 1] for tenant in ring)

    @property
    def on(self) -> bool:
        """Whether it decides anywhere."""
        return self.state is not RolloutState.STOPPED

    def decides(self, tenant: str, configured: str) -> bool:
        """Whether it decides there. A configuration that was changed since it began goes before it."""
        return self.on and tenant in self.entered and self.before.get(tenant) == configured

    def stopped(self, *, by: str, reason: str, at: datetime) -> "Rollout":
        """The same, over."""
        return replace(
            self, state=RolloutState.STOPPED, reason=reason, changed_by=by, changed_at=at, asked_by="", reviewed={}
        )

    def advanced(self, *, by: str, reason: str, at: datetime) -> "Rollout":
        """The next ring entered; from the last one on it is finished."""
        ring = self.ring + 1
        fresh = dict.fromkeys(self.rings[ring], at) if ring < len(self.rings) else {}
        state = RolloutState.FINISHED if ring >= len(self.rings) else RolloutState.RUNNING
        return replace(
            self,
            ring=min(ring, len(self.rings) - 1),
            state=state,
            reason=reason,
            changed_by=by,
            changed_at=at,
            asked_by="",
            since={**self.since, **fresh},
        )


@dataclass(frozen=True, slots=True)
class Watched:
    """What happened in one tenant since the policy began to decide there.

    ``overridden`` are cases that it closed and a person re-opened or called an attack; ``canaries`` planted attacks
    that were closed. ``actions`` are those that its decisions led to and that ended, ``failed`` of them badly.
    """

    decisions: int = 0
    closes: int = 0
    overridden: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    actions: int = 0
    failed: int = 0
    killed: str = ""
    unverified: str = ""


def allowed_closes(rollout: Rollout, tenant: str, decisions: int) -> int:
    """How many of that many decisions may be closes."""
    expected = rollout.expected.get(tenant, 0.0)
    return ceil(expected * decisions * (1.0 + rollout.margins.closes)) + rollout.margins.spare


def breach(rollout: Rollout, tenant: str, seen: Watched) -> str:
    """Why it must stop, or nothing; the gravest reason first."""
    if seen.canaries:
        return f"a planted attack was closed ({', '.join(seen.canaries)})"
    if seen.overridden:
        return f"a person re-opened what it closed, or called it an attack ({', '.join(seen.overridden)})"
    if seen.killed:
        return f"the machine was stopped: {seen.killed}"
    if seen.unverified:
        return f"its signatures no longer hold: {seen.unverified}"
    allowed = allowed_closes(rollout, tenant, seen.decisions)
    if seen.closes > allowed:
        share = rollout.expected.get(tenant, 0.0)
        return (
            f"it closed {seen.closes} of {seen.decisions}; the backtest said {share:.0%}, "
            f"which with its margin allows {allowed}"
        )
    usual = max(2 * rollout.failing.get(tenant, 0.0), 0.05)
    if seen.failed >= rollout.margins.failures and seen.failed > usual * seen.actions:
        return f"{seen.failed} of {seen.actions} actions ended badly; usual are {rollout.failing.get(tenant, 0.0):.0%}"
    return ""

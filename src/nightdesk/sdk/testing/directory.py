"""The accounts of a simulated identity provider: changes that a fault plan can delay or fail."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing.faults import FaultPlan
from nightdesk.sdk.testing.story import StoryAccount

__all__ = ["Change", "ChangeKind", "Directory", "Member"]

ChangeKind = Literal[
    "disable",
    "enable",
    "revoke_sessions",
    "expire_password",
    "reset_factors",
    "add_group",
    "remove_group",
    "deactivate_key",
    "activate_key",
]


@dataclass(slots=True)
class Change:
    """One accepted change; ``due`` is when it takes effect."""

    kind: ChangeKind
    subject: str
    asked_at: datetime
    due: datetime
    done: bool = False
    failed: bool = False


@dataclass(slots=True)
class Member:
    """One account as the directory really has it; ``keys`` says of each access key whether it is active."""

    account_id: str
    name: str
    email: str
    domain: str = ""
    sid: str = ""
    privileged: bool = False
    enabled: bool = True
    groups: set[str] = field(default_factory=set)
    sessions: int = 1
    sessions_revoked_at: datetime | None = None
    must_change_password: bool = False
    factors: int = 1
    keys: dict[str, bool] = field(default_factory=dict)
    asked: list[Change] = field(default_factory=list)
    lied_about: bool = False
    """The vendor says that it is disabled, and it is not so (fault ``lies``)."""

    @property
    def signs_in(self) -> bool:
        """Whether a sign-in really works."""
        return self.enabled or self.lied_about

    @property
    def changes(self) -> int:
        """How many changes were accepted."""
        return len(self.asked)


def _enable(member: Member, change: Change) -> None:
    member.enabled = change.kind == "enable"
    member.lied_about = member.lied_about and not member.enabled


def _revoke(member: Member, change: Change) -> None:
    member.sessions, member.sessions_revoked_at = 0, change.due


def _expire(member: Member, _: Change) -> None:
    member.must_change_password = True


def _reset(member: Member, _: Change) -> None:
    member.factors = 0


def _group(member: Member, change: Change) -> None:
    (member.groups.add if change.kind == "add_group" else member.groups.discard)(change.subject)


def _key(member: Member, change: Change) -> None:
    change.failed = change.subject not in member.keys
    if not change.failed:
        member.keys[change.subject] = change.kind == "activate_key"


_EFFECTS: Mapping[ChangeKind, Callable[[Member, Change], None]] = {
    "disable": _enable,
    "enable": _enable,
    "revoke_sessions": _revoke,
    "expire_password": _expire,
    "reset_factors": _reset,
    "add_group": _group,
    "remove_group": _group,
    "deactivate_key": _key,
    "activate_key": _key,
}


class Directory:
    """All accounts; ``settle`` carries out what is due and is called before every read."""

    def __init__(self, clock: Clock, faults: FaultPlan) -> None:
        self._clock = clock
        self._faults = faults
        self.accounts: dict[str, Member] = {}

    def add(self, accounts: Iterable[StoryAccount], prefix: str = "") -> None:
        """Takes accounts of a story; ``prefix`` makes this vendor's own account ids."""
        for account in accounts:
            account_id = f"{prefix}{account.account_id}"
            self.accounts.setdefault(
                account_id,
                Member(
                    account_id,
                    account.name,
                    account.email,
                    account.domain,
                    account.sid,
                    account.privileged,
                    groups=set(account.groups),
                    keys=dict.fromkeys(account.key_ids, True),
                ),
            )

    def change(self, account_id: str, kind: ChangeKind, subject: str = "") -> Change:
        """Accepts a change of a known account; ``subject`` is the group or the key."""
        member = self.accounts[account_id]
        now = self._clock()
        late = self._faults.standing("late_effect", account_id=account_id)
        due = now + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0.0)
        change = Change(kind, subject, now, due)
        change.failed = self._faults.standing("accepted_then_failed", account_id=account_id) is not None
        member.asked.append(change)
        self.settle()
        return change

    def settle(self) -> None:
        """Carries out every change that is due, in the order asked."""
        now = self._clock()
        for member in self.accounts.values():
            for change in member.asked:
                if not (change.done or change.failed) and change.due <= now:
                    if change.kind == "disable" and self._faults.standing("lies", account_id=member.account_id):
                        member.lied_about = True
                    _EFFECTS[change.kind](member, change)
                    change.done = not change.failed

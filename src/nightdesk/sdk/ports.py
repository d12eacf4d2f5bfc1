"""What a connector can do, one Protocol a capability; the manifest declares which of them it implements.

The hub calls these and nothing else. A connector never decides, never retries beyond its HTTP client, and never calls
an accepted request an effect: ``act`` says *accepted*, only ``read_back`` says *in effect*.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.moments import SECOND
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery, Target

__all__ = [
    "Acts",
    "Answer",
    "CaseChange",
    "CaseChanges",
    "CaseComment",
    "ChecksHealth",
    "Command",
    "Effect",
    "Enriches",
    "FindsAccounts",
    "FindsAssets",
    "FollowsCases",
    "Health",
    "HearsAnswers",
    "Opinion",
    "Pulls",
    "Reading",
    "ReadsBack",
    "ReadsOne",
    "Receipt",
    "Receives",
    "Searches",
    "Sighting",
    "SightingKind",
    "Witnesses",
    "WritesBack",
]

_CHECKED_IN = 3600 * SECOND


class Effect(StrEnum):
    """What a read-back found, relative to what the command wants."""

    IN_EFFECT = "in_effect"
    NOT_IN_EFFECT = "not_in_effect"
    PENDING = "pending"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Command:
    """One wanted change, free of vendor words.

    ``native_id`` is the vendor's id of the target (device id of a host and of what is on it, account id, id of an
    alert), resolved by the hub with ``find_asset`` or ``find_account``; the value itself for targets that are their own
    id (hash, address). ``parameters`` hold only names that the verb lists. ``requested_at`` is UTC: a read-back must be
    later.
    """

    tenant: str
    action_id: str
    verb: str
    target: Target
    idempotency_key: str
    requested_at: datetime
    native_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    case_id: str = ""
    pre_state: Mapping[str, Any] = field(default_factory=dict)
    undoes: bool = False
    """It takes back an earlier command of ours, and ``pre_state`` is what was so before that one."""
    renewal: int = 0
    """How often the vendor's own clock was to be set anew by then; above 0 what stands already is to last again."""
    outstanding: bool = False
    """The vendor accepted this very command and no read-back has shown it yet, as the journal has it.

    For vendors that show no orders: what a connector remembers of one dies with its process.
    """

    def only(self, *known: str) -> None:
        """Raises UnsupportedError for a parameter that is none of these: law 8, nothing is dropped in silence."""
        strange = sorted(set(self.parameters) - set(known))
        if strange:
            raise UnsupportedError(f"{self.verb} has no parameter {', '.join(strange)} here")

    def began_otherwise(self, name: str, wanted: Any) -> bool:
        """True when the pre-state says that it was not so before the first try: what is so now is our own effect."""
        return name in self.pre_state and self.pre_state[name] != wanted

    def may_still_come(self, heard: int, skew: float | None) -> bool:
        """Whether a device may have an order of ours to take yet, at a vendor that shows none and no failure of one.

        ``heard``: when it last talked, in nanoseconds by the vendor's clock, which is ``skew`` seconds ahead of ours. A
        sensor takes its orders as it checks in, every few minutes; an hour of that without effect says that it failed.
        """
        return heard < int(self.requested_at.timestamp() + (skew or 0.0)) * SECOND + _CHECKED_IN


@dataclass(frozen=True, slots=True)
class Receipt:
    """The vendor accepted the request. ``losses`` names every parameter it could not honour (law 8).

    ``evidence["ends_at"]`` (ISO 8601) is when the vendor's own clock ends the effect; without it none does.
    """

    native_action_id: str = ""
    changed: bool = True
    losses: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """The vendor's own state of the target, read at ``observed_at``. ``state`` is what an undo needs to restore.

    ``state["ends_at"]`` (ISO 8601) is when the vendor's own clock ends the effect, where its state tells that.
    """

    effect: Effect
    observed_at: datetime
    state: Mapping[str, Any] = field(default_factory=dict)
    native_state: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the connector could work now. ``problems`` say what to do; ``latency`` is in seconds."""

    ok: bool
    problems: tuple[str, ...] = ()
    version: str = ""
    clock_skew: float | None = None
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class CaseComment:
    """One comment on a ticket; ``ours`` when it carries the marker of one of our commands."""

    comment_id: str
    text: str
    author: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class CaseChange:
    """A ticket as it is after somebody changed it; ``case_id`` is the case that it was opened for, empty if none was.

    ``version`` names this state of it; ``status`` is ``open`` or ``closed``.
    """

    native_id: str
    version: str
    status: str
    case_id: str = ""
    title: str = ""
    comments: tuple[CaseComment, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseChanges:
    """One page of them, and the cursor that is valid once they are stored."""

    changes: Sequence[CaseChange]
    cursor: Cursor | None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a source of intelligence thinks of one thing.

    ``verdict`` is ``malicious``, ``suspicious``, ``benign`` or ``unknown``; ``score`` 0 to 100, None when the source
    gives none; ``evidence`` is what it is based on, in the source's words: from so many ``hits``, the newest of them at
    ``newest``. ``markings`` are the TLP marks on it, as the source writes them.
    """

    source: str
    verdict: str
    observed_at: datetime
    score: int | None = None
    labels: tuple[str, ...] = ()
    link: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    hits: int = 1
    newest: datetime | None = None
    markings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person answered to one ``approval.request``, as the vendor vouches for it.

    ``about`` is the command's parameter of that name, ``option`` the text of the option that was chosen. ``account`` is
    the vendor's id of the person: who that is, and what they may, is for the hub to say. ``native_id`` names this one
    answer: told again, it is the same.
    """

    about: str
    option: str
    account: str
    native_id: str
    place: str = ""


class SightingKind(StrEnum):
    """What telemetry can have seen of a target."""

    NETWORK_FLOW = "network_flow"
    """A connection or datagram that was let through."""
    BLOCKED_FLOW = "blocked_flow"
    PROCESS_START = "process_start"
    PROCESS_BLOCKED = "process_blocked"
    SIGN_IN = "sign_in"
    """An identity provider let the account in."""
    SIGN_IN_REFUSED = "sign_in_refused"
    LOGON = "logon"
    """A host let the account in, which it may do from its cache."""
    LOGON_REFUSED = "logon_refused"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that a vendor's own telemetry saw of a target, free of vendor words.

    ``at`` is the event's own time; ``began`` when a flow began, where the vendor says (a session is often written at
    its end). ``peer`` is the address or name at the other side. ``facts``, each only where known: ``direction``
    (``outbound``, ``inbound``: as the target sees it), ``port`` of the peer, ``peer_name``, ``hostname`` of the host
    that saw it, ``provider`` that signed the account in, ``account`` as the telemetry names it, ``sha256``,
    ``path``, ``sensor`` (the product whose record it is), ``passage`` (``unknown``: it may not have got through).
    """

    kind: SightingKind
    at: datetime
    native_id: str
    text: str
    peer: str = ""
    began: datetime | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Pulls(Protocol):
    """Fetches alerts (or indicators, of ``intel`` streams) from a cursor on, oldest first.

    The cursor of a batch is valid once the batch is stored.
    """

    def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Pages until the window is drained. ``cursor`` None: from the configured start. ``limit``: records a page."""
        ...


@runtime_checkable
class Receives(Protocol):
    """Cuts a pushed body into records."""

    def receive(self, stream: str, headers: Mapping[str, str], body: bytes) -> Batch:
        """One pushed request. Raises AuthError for a wrong token, MappingError when nothing in it can be read."""
        ...


@runtime_checkable
class ReadsOne(Protocol):
    """Reads one alert by its native id."""

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now. Raises NotFoundError."""
        ...


@runtime_checkable
class WritesBack(Protocol):
    """Writes to the vendor's own alert (status, disposition, comment)."""

    async def write_back(self, command: Command) -> Receipt:
        """Verbs ``alert.*``. ``native_id`` is the alert's."""
        ...


@runtime_checkable
class Acts(Protocol):
    """Dispatches an action. Must be safe to repeat with the same idempotency key."""

    async def act(self, command: Command) -> Receipt:
        """Asks the vendor; returns once it accepted."""
        ...


@runtime_checkable
class ReadsBack(Protocol):
    """Reads whether what the command wants is so at the vendor, from the vendor's state and not from the receipt."""

    async def read_back(self, command: Command) -> Reading:
        """The state now; also called before acting, as the pre-state."""
        ...


@runtime_checkable
class FindsAssets(Protocol):
    """Finds the devices that a name, address or id stands for."""

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """Every match; none and several are both answers, never guessed away."""
        ...


@runtime_checkable
class FindsAccounts(Protocol):
    """Finds the accounts that a name, address or security identifier stands for."""

    async def find_account(self, query: AccountQuery) -> Sequence[Account]:
        """Every exact match; none and several are both answers, never guessed away."""
        ...


@runtime_checkable
class FollowsCases(Protocol):
    """Tells what people changed on the tickets that the hub opened."""

    def follow_cases(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Pages until nothing newer is there. ``cursor`` None: from now on."""
        ...


@runtime_checkable
class HearsAnswers(Protocol):
    """Takes the vendor's callback when somebody answers an ``approval.request`` there."""

    def answers(self, headers: Mapping[str, str], body: bytes) -> Sequence[Answer]:
        """The answers in one request, once it is proved to be the vendor's and fresh; nothing is read before.

        Raises AuthError for a request that is not, MappingError for a genuine one that answers nothing of ours.
        """
        ...


@runtime_checkable
class Enriches(Protocol):
    """Says what is known of an address, a domain, a URL or a file."""

    async def enrich(self, target: Target) -> Sequence[Opinion]:
        """Empty when the source does not know it. Raises UnsupportedError for a kind that the manifest lacks."""
        ...


@runtime_checkable
class Witnesses(Protocol):
    """Says what its own telemetry saw of a target, so that another vendor's word can be held against it."""

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """What was seen at ``since`` or later and before ``until``, oldest first, at most ``limit``; nothing added.

        A host is matched by its name and addresses, an account by name, address or identifier, exactly; a value never
        widens the question. Raises UnsupportedError for a kind that the manifest lacks, VendorError when not all of
        the telemetry could be asked: a part is no answer.
        """
        ...


@runtime_checkable
class Searches(Protocol):
    """Runs a search in the vendor's own data."""

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Rows as the vendor gives them."""
        ...


@runtime_checkable
class ChecksHealth(Protocol):
    """Says whether it could work, by doing what normal operation does."""

    async def check_health(self) -> Health:
        """Never raises for what the vendor does wrong: that is a problem in the answer."""
        ...

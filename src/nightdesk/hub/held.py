"""What is held at vendors for a tenant, and when each of it ends: the list that a person keeps or takes back from."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.clocks import ends_at
from nightdesk.sdk.verbs import verb

__all__ = ["Held", "held", "time_left"]

_S = ActionState
_TROUBLED = frozenset({_S.UNVERIFIED, _S.CONTRADICTED, _S.UNDO_FAILED})
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Held:
    """One effect of ours. ``ends_at`` None: it ends when somebody takes it back, and never by itself.

    ``vendor_ends_at`` where the vendor's own clock is known; ``said`` is what stands against it, if anything does.
    """

    action_id: str
    verb: str
    target: str
    state: str
    instance: str
    case_id: str
    ends_at: datetime | None
    seconds_left: int | None
    vendor_ends_at: datetime | None
    renewed_by: str
    said: str


def held(actions: Iterable[Action], now: datetime) -> list[Held]:
    """Those that changed something and can be taken back: what is in trouble first, then by their end."""
    ours = [one for one in actions if one.changed is not False and verb(one.verb).inverse]
    return [_held(one, now) for one in sorted(ours, key=_order)]


def time_left(seconds: int | None) -> str:
    """Seconds in the two largest units that say something: ``in 3 h 59 min``, ``2 min ago``, ``never``."""
    if seconds is None:
        return "never"
    whole = abs(seconds)
    if whole >= _DAY:
        text = f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
    elif whole >= _HOUR:
        text = f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    else:
        text = f"{whole // _MINUTE} min"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def _order(action: Action) -> tuple[bool, bool, datetime, datetime]:
    end = action.lease_until
    return action.state not in _TROUBLED, end is None, end or action.created_at, action.created_at


def _held(action: Action, now: datetime) -> Held:
    end = action.lease_until.astimezone(UTC) if action.lease_until else None
    vendor = ends_at(action)
    unkept = action.result.get("clock_lost") or action.result.get("clock_held")
    return Held(
        action.action_id,
        action.verb,
        action.target.key,
        action.state.value,
        action.instance,
        action.case_id,
        end,
        None if end is None else int((end - now).total_seconds()),
        vendor.astimezone(UTC) if vendor else None,
        str(action.result.get("renewed_by", "")),
        action.error or (f"the vendor ends it sooner: {unkept}" if unkept else ""),
    )

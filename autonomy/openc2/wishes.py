"""A command as the wish that the action engine understands, and an action as the command that would ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.openc2.message import LATEST, Actuator, Args, Command, Extras
from nightdesk.autonomy.openc2.naming import ON_HOSTS, named, target_of
from nightdesk.autonomy.openc2.pairs import PAIRS, choose
from nightdesk.autonomy.openc2.targets import NSID
from nightdesk.sdk.errors import MappingError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import verb

__all__ = ["Wish", "command_of", "milliseconds", "to_command", "to_wish"]

_SOURCE = "OpenC2 command"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command asks for. ``lease`` counts from the effect; ``stop_at`` is a moment, whatever happens before."""

    verb: str
    target: Target
    parameters: Mapping[str, Any] = field(default_factory=dict)
    case_id: str = ""
    reason: str = ""
    accept_losses: Sequence[str] = ()
    connector: str = ""
    lease: timedelta | None = None
    stop_at: datetime | None = None


def to_wish(command: Command, now: datetime) -> Wish:
    """The wish of a command about a verb. Raises MappingError when it is wrong, UnsupportedError beyond our means."""
    extras, actuator = command.extras, command.actuator
    wanted = choose(command.action, command.target, extras.verb)
    strange = sorted(set(extras.parameters) - set(wanted.parameters))
    if strange:
        there = ", ".join(("verb", "case", "reason", "accept_losses", *wanted.parameters))
        raise _wrong(f"{wanted.name} has no parameter {strange[0][:64]!r}; there are {there}", f"/args/{NSID}")
    unknown = sorted(set(extras.accept_losses) - set(wanted.parameters))
    if unknown:
        raise _wrong(f"{wanted.name} has no parameter {unknown[0]!r} to lose", f"/args/{NSID}/accept_losses")
    of_alert = wanted.role == "source"
    if of_alert and actuator.connector is None:
        raise _wrong(f"{wanted.name} needs the connector that the alert came from", f"/actuator/{NSID}/connector")
    if not of_alert and actuator.connector is not None:
        raise UnsupportedError(f"which connector does {wanted.name} is the tenant's binding: leave connector out")
    lease, stop_at = _end(command.args, now)
    if (lease or stop_at) and not wanted.reversible:
        raise UnsupportedError(
            f"{wanted.name} cannot end by itself: {wanted.no_inverse}; leave stop_time, duration out"
        )
    return Wish(
        wanted.name,
        target_of(wanted, command.target, command.value, actuator.hostname),
        extras.parameters,
        extras.case,
        extras.reason,
        tuple(sorted(set(extras.accept_losses))),
        actuator.connector or "",
        lease,
        stop_at,
    )


def to_command(wish: Wish, *, command_id: str = "", response_requested: str | None = None) -> Command:
    """The command that asks for this, such that ``to_wish`` gives the wish back."""
    wanted = verb(wish.verb)
    name, value = named(wanted, wish.target)
    shared = len(PAIRS[(wanted.openc2[0], name)]) > 1
    said = {"verb": wish.verb} if shared else {}
    said |= {key: text for key, text in (("case", wish.case_id), ("reason", wish.reason)) if text}
    given = {key: _plain(value) for key, value in wish.parameters.items() if value is not None}
    extras = {**given, **said, "accept_losses": list(wish.accept_losses)}
    args: dict[str, Any] = {"response_requested": response_requested}
    if wish.stop_at is not None:
        args["stop_time"] = milliseconds(wish.stop_at)
    elif wish.lease is not None:
        args["duration"] = wish.lease // timedelta(milliseconds=1)
    where = {
        "hostname": wish.target.facts.get("hostname") if wish.verb in ON_HOSTS else None,
        "connector": wish.connector or None,
    }
    return Command(
        wanted.openc2[0],
        name,
        value,
        Args.model_validate({key: value for key, value in args.items() if value is not None}),
        Extras.model_validate(extras),
        Actuator.model_validate({key: value for key, value in where.items() if value}),
        command_id,
    )


def command_of(action: Action) -> Command:
    """The command that asks for what this action does; its id is the action's."""
    seconds, stop_at = action.result.get("lease_seconds"), action.result.get("stop_at")
    wish = Wish(
        action.verb,
        action.target,
        action.parameters,
        action.case_id,
        action.reason,
        tuple(action.result.get("accept_losses", ())),
        action.instance if verb(action.verb).role == "source" else "",
        None if seconds is None else timedelta(seconds=float(seconds)),
        datetime.fromisoformat(stop_at) if stop_at else None,
    )
    return to_command(wish, command_id=action.action_id, response_requested="complete")


def milliseconds(when: datetime) -> int:
    """A moment as the language counts it."""
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _end(args: Args, now: datetime) -> tuple[timedelta | None, datetime | None]:
    present = milliseconds(now)
    if args.start_time is not None and args.start_time > present:
        raise UnsupportedError(
            "start_time lies ahead and nothing is kept for later here: send the command at that time"
        )
    if args.duration is not None and args.start_time is None:
        if not args.duration:
            raise _wrong("a duration of 0 asks for nothing", "/args/duration")
        return timedelta(milliseconds=args.duration), None
    stop, where = args.stop_time, "/args/stop_time"
    if args.duration is not None and args.start_time is not None:
        stop, where = args.start_time + args.duration, "/args/duration"
    if stop is None:
        return None, None
    if stop <= present:
        raise _wrong(f"it would end at {stop}, and now is {present} (milliseconds since 1970)", where)
    return None, datetime.fromtimestamp(min(stop, LATEST) / 1000, tz=UTC)


def _plain(value: Any) -> Any:
    """A parameter as an argument can carry it: a scalar or a list of them, anything else as its JSON text."""
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float | bool) for one in value):
        return list(value)
    return canonical(value).decode()


def _wrong(message: str, pointer: str) -> MappingError:
    return MappingError(message, pointer=pointer, source=_SOURCE)

"""Which connector carries an action out: the question the engine asks, and the commands it sends there.

A port is asked through these functions only, so that what one connector does wrong (hang, break) stays with the one
action. A read-back must say *pending* while the vendor still has an order outstanding for that target.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from nightdesk.autonomy.actions import Action
from nightdesk.sdk import manifest
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    NightdeskError,
    NotFoundError,
    PolicyError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import Audience
from nightdesk.sdk.ports import Acts, Command, Reading, ReadsBack, Receipt, WritesBack
from nightdesk.sdk.retry import urgent
from nightdesk.sdk.targets import Account, Asset, Target
from nightdesk.sdk.verbs import verb

__all__ = [
    "DEFINITE",
    "Route",
    "Router",
    "after",
    "answer",
    "evidence_of",
    "inverse_of",
    "previous_values",
    "read",
    "send",
    "wish_of",
]

_T = TypeVar("_T")

DEFINITE = (AuthError, ConfigError, NotFoundError, PolicyError, RejectedError, ScopeError, UnsupportedError)
"""Errors after which the same request fails again, and after which nothing was done."""


@dataclass(frozen=True, slots=True)
class Route:
    """One connector instance that can do one verb to one target; ``native_id`` is that vendor's id of the target.

    ``found`` is what that vendor says of the target, when it was looked up; ``shares`` who learns of what it is sent.
    """

    instance: str
    vendor: str
    native_id: str
    action_manifest: manifest.Action
    port: object
    found: Asset | Account | None = None
    shares: Audience = "vendor"


class Router(Protocol):
    """Finds the connector; what knows the tenant's binding implements it."""

    async def route(self, tenant: str, verb: str, target: Target, source_instance: str | None) -> Route:
        """The one instance for that verb and target.

        ``source_instance`` is the instance an alert came from, for verbs of the role ``source``. Raises PolicyError
        when none or several instances own the asset, UnsupportedError when the bound vendor cannot do it.
        """
        ...

    async def route_to(self, tenant: str, instance: str, verb: str, target: Target, native_id: str) -> Route:
        """The same for the instance that acted, whatever the binding says today (law 6)."""
        ...


def after(error: NightdeskError) -> float:
    """Seconds that the vendor asked us to wait."""
    return error.retry_after if isinstance(error, RateLimitError) else 0.0


async def answer(call: Awaitable[_T], *, operation: str, within: float) -> _T:
    """Waits for a port or router, not for ever. Raises NightdeskError only."""
    try:
        with urgent():
            async with asyncio.timeout(within):
                return await call
    except NightdeskError:
        raise
    except TimeoutError as error:
        raise UnavailableError(f"no answer within {within:g} s", operation=operation) from error
    except Exception as error:  # isolation: a broken connector must not stop other actions; its text may hold secrets
        raise ResponseError(
            f"the connector broke with {type(error).__name__}: report it to its author", operation=operation
        ) from error


async def send(route: Route, command: Command, *, within: float) -> Receipt:
    """Asks the vendor to do it."""
    port = route.port
    if command.verb.startswith("alert."):
        if not isinstance(port, WritesBack):
            raise UnsupportedError(
                f"{route.instance}: {command.verb} is declared, but the connector writes nothing back"
            )
        return await answer(port.write_back(command), operation=command.verb, within=within)
    if not isinstance(port, Acts):
        raise UnsupportedError(f"{route.instance}: {command.verb} is declared, but the connector does not act")
    return await answer(port.act(command), operation=command.verb, within=within)


async def read(route: Route, command: Command, *, within: float) -> Reading:
    """The vendor's own state of what the command wants."""
    port = route.port
    if not isinstance(port, ReadsBack):
        raise UnsupportedError(f"{route.instance}: {command.verb} is declared with a read-back, but there is none")
    return await answer(port.read_back(command), operation=f"read back {command.verb}", within=within)


def evidence_of(reading: Reading) -> dict[str, Any]:
    """What the journal keeps of a reading."""
    return {
        "effect": reading.effect.value,
        "observed_at": reading.observed_at.isoformat(),
        "state": dict(reading.state),
        "native_state": reading.native_state,
    }


def wish_of(action: Action, route: Route, at: datetime) -> Command:
    """The command for what the action wants, without what this vendor cannot honour."""
    honoured = {name: value for name, value in action.parameters.items() if name not in action.losses}
    asked = _command(action, action.verb, honoured, route, action.requested_at or at, action.idempotency_key)
    return replace(asked, outstanding=action.accepted_at is not None and action.effective_at is None)


def inverse_of(action: Action, route: Route, at: datetime, key: str) -> Command:
    """The command that undoes the action, with the values the target had before."""
    inverse = verb(action.verb).inverse
    asked_at = action.undo_requested_at or at
    asked = _command(action, inverse, previous_values(action, route), route, asked_at, key)
    outstanding = bool(action.result.get("undo_accepted")) and not action.result.get("undo_shown")
    return replace(asked, undoes=True, outstanding=outstanding)


def previous_values(action: Action, route: Route) -> Mapping[str, Any]:
    """The parameters of the inverse, as the pre-state has them; what had no value cannot be given back."""
    names = [name for name in route.action_manifest.parameters if name != "comment"]
    return {name: action.pre_state[name] for name in names if action.pre_state.get(name) not in (None, "")}


def _command(action: Action, name: str, parameters: Mapping[str, Any], route: Route, at: datetime, key: str) -> Command:
    return Command(
        tenant=action.tenant,
        action_id=action.action_id,
        verb=name,
        target=action.target,
        idempotency_key=key,
        requested_at=at,
        native_id=route.native_id or action.native_id,
        parameters=parameters,
        reason=action.reason,
        case_id=action.case_id,
        pre_state=action.pre_state,
    )

"""What may go out right now: the guards' word, and what the chosen connector declares it can honour (laws 5, 6, 8)."""

from collections.abc import Callable, Iterable

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.routing import Route
from nightdesk.sdk.case import Check
from nightdesk.sdk.errors import NightdeskError, PolicyError, UnsupportedError
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["Guard", "acts_alone", "losses", "refusal"]

Guard = Callable[[Action], Check]
"""Asked right before every request; one that does not pass stops it. It must not change anything."""


def refusal(guards: Iterable[Guard], action: Action) -> str:
    """Why it must not go out now, or nothing. A guard that cannot answer refuses."""
    for guard in guards:
        try:
            check = guard(action)
        except NightdeskError as error:
            return f"refused: {error}"
        if not check.passed:
            return f"refused by {check.name}: {check.value} (limit {check.limit})"
    return ""


def acts_alone(action: Action) -> bool:
    """No person let it go, and somebody feels it."""
    return action.approval == Approval.POLICY and verb(action.verb).risk >= Risk.R2


def losses(action: Action, route: Route) -> tuple[str, ...]:
    """The parameters that go unhonoured with the requester's consent. Raises for what cannot be done as asked."""
    declared = route.action_manifest
    wanted = verb(action.verb)
    missing = sorted(set(action.parameters) - set(declared.parameters))
    refused = [name for name in missing if name not in action.result.get("accept_losses", ())]
    if refused:
        raise UnsupportedError(
            f"{route.instance} cannot honour {', '.join(refused)} of {action.verb}: leave it out, or accept the loss"
        )
    undoable = bool(wanted.inverse) and not declared.irreversible and not declared.accept_only
    if acts_alone(action) and declared.accept_only:
        raise PolicyError(f"{route.instance} cannot show that {action.verb} took effect: a person must decide")
    if acts_alone(action) and not undoable:
        raise PolicyError(f"{route.instance} cannot undo {action.verb}: a person must decide")
    if action.result.get("lease_seconds") is not None and not undoable:
        raise UnsupportedError(f"{route.instance} cannot end {action.verb} by itself: ask for it without a lease")
    return tuple(missing)

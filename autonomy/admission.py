"""What may go out right now: the guards' word, and what the chosen connector declares it can honour (laws 5, 6, 8)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.sdk.case import Check
from nightdesk.sdk.errors import NightdeskError, PolicyError, UnsupportedError
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["Counsel", "Dispatching", "Doubt", "Guard", "acts_alone", "contains", "losses", "standing_refusal", "weigh"]


@dataclass(frozen=True, slots=True)
class Dispatching:
    """An action in the moment before its request: where it would go, and what is so around it."""

    action: Action
    instance: str
    vendor: str
    now: datetime
    around: Surroundings = field(default_factory=Surroundings)


@dataclass(frozen=True, slots=True)
class Doubt(Check):
    """A check that a person may overrule: one that fails does not end the action, it asks a second person."""


Guard = Callable[[Dispatching], Check]
"""Asked right before every request; one that does not pass stops it. It compares, and changes and looks up nothing."""


@dataclass(frozen=True, slots=True)
class Counsel:
    """What the guards said. ``refusal`` ends the action, ``doubts`` give it to a person; both empty: it may go."""

    checks: tuple[Check, ...] = ()
    refusal: str = ""

    @property
    def doubts(self) -> tuple[Check, ...]:
        """What a person may overrule."""
        return tuple(check for check in self.checks if isinstance(check, Doubt) and not check.passed)

    @property
    def question(self) -> str:
        """The doubts as a sentence for who is asked."""
        return "; ".join(f"{check.name}: {check.value} (limit {check.limit})" for check in self.doubts)

    def to_json(self, around: Surroundings, now: datetime) -> Mapping[str, Any]:
        """What the journal keeps: the facts, and what was made of them."""
        if not self.checks:
            return {}
        checks = [[check.name, check.passed, check.value, check.limit] for check in self.checks]
        return {"guards": {"at": now.isoformat(), "around": around.to_json(), "checks": checks}}


def weigh(guards: Iterable[Guard], dispatching: Dispatching) -> Counsel:
    """Asks every guard. One that cannot answer refuses."""
    checks: list[Check] = []
    refusal = ""
    for guard in guards:
        try:
            check = guard(dispatching)
        except NightdeskError as error:
            check = Check("guard", passed=False, value=str(error), limit="an answer")
            refusal = refusal or f"refused: {error}"
        else:
            if not check.passed and not isinstance(check, Doubt):
                refusal = refusal or f"refused by {check.name}: {check.value} (limit {check.limit})"
        checks.append(check)
    return Counsel(tuple(checks), refusal)


def standing_refusal(guards: Iterable[Guard], action: Action, route: Route, now: datetime) -> str:
    """Why what was let go must not be asked once more, or nothing: judged on the facts that let it go.

    What was in doubt was settled before the first request; what refuses by now stops the next one.
    """
    known = action.result.get("guards")
    around = Surroundings.from_json(known["around"]) if known else Surroundings()
    return weigh(guards, Dispatching(action, route.instance, route.vendor, now, around)).refusal


def contains(action: Action) -> bool:
    """The restricting half of what somebody feels (R2 and up); what takes it back is none, for the way back is open."""
    wanted = verb(action.verb)
    return wanted.risk >= Risk.R2 and wanted.name == wanted.family


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

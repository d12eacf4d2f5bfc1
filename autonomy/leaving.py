"""A request of an action leaves: the brake is asked at the very moment, and again while it waits for its turn."""

from dataclasses import replace

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.routing import Route, send
from nightdesk.autonomy.switches import Brake, Clearance, Word
from nightdesk.sdk.departure import Gate, through
from nightdesk.sdk.errors import NightdeskError, PolicyError, UnavailableError
from nightdesk.sdk.ports import Command, Receipt

__all__ = ["KeptInError", "bound_for", "leave"]


class KeptInError(NightdeskError):
    """The brake kept a request in that was about to leave; ``said`` is None when it could not tell."""

    def __init__(self, why: str, said: Clearance | None) -> None:
        super().__init__(why)
        self.said = said


def bound_for(action: Action, route: Route) -> Action:
    """The action with what its route adds: where it goes, and whose API that is."""
    return replace(action, instance=route.instance, result={**action.result, "vendor": route.vendor})


async def leave(brake: Brake, action: Action, route: Route, command: Command, *, within: float) -> Receipt:
    """Sends it through a gate that asks the brake until the vendor has begun.

    Raises KeptInError when it did not leave; UnavailableError, as for a lost reply, when an earlier try of it may have
    worked; and what ``send`` raises.
    """
    leaving = bound_for(action, route)
    refused: list[Clearance] = []

    def ask() -> None:
        said = brake(leaving)
        if said.word is not Word.GO:
            refused.append(said)
            raise PolicyError(said.why)

    gate = Gate(ask)
    try:
        with through(gate):
            gate.passing()
            return await send(route, command, within=within)
    except NightdeskError:
        if gate.shut is None:
            raise
        if gate.sent:
            raise UnavailableError(f"not sent again: {gate.shut}", operation=command.verb) from gate.shut
        raise KeptInError(str(gate.shut), refused[0] if refused else None) from gate.shut

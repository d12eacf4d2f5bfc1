"""The end of what was wanted for a time: expiry, which the engine turns into an undo, and renewal by a person."""

from datetime import datetime

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.ledger import ENGINE, Ledger
from nightdesk.sdk.errors import PolicyError

__all__ = ["Leases"]

_S = ActionState


class Leases:
    """Leases run on the journal's times: they end on time however often the process was started again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def expire(self) -> None:
        """Every lease that has run out; what is *expired* is undone with everything else that is under way."""
        for action in self._ledger.journal.leases_due(self._ledger.clock()):
            try:
                self._ledger.move(action, _S.EXPIRED, "the lease ran out")
            except StaleActionError:
                continue  # renewed or undone meanwhile

    def renew(self, action: Action, until: datetime, actor: str) -> Action:
        """A person keeps it longer; the second time in a row takes another person."""
        if action.state not in {_S.LEASED, _S.RENEWED}:
            raise PolicyError(f"{action.action_id} is {action.state}: only a running lease can be renewed")
        if not actor or actor == ENGINE:
            raise PolicyError(f"{action.action_id}: a lease is renewed by a person")
        if until <= self._ledger.clock() or (action.lease_until is not None and until <= action.lease_until):
            raise PolicyError(f"{action.action_id}: a renewal must end later than {action.lease_until} and than now")
        if action.result.get("renewed_by") == actor:
            raise PolicyError(
                f"{action.action_id}: {actor} renewed it last time: a second renewal takes another person"
            )
        return self._ledger.move(
            action,
            _S.RENEWED,
            f"until {until.isoformat()}",
            actor=actor,
            result={"renewed_by": actor},
            lease_until=until,
        )

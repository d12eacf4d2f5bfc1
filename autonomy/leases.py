"""The end of what was wanted for a time: expiry into undo, and renewal by a person."""

from datetime import datetime

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.approvals import same_person
from nightdesk.autonomy.clocks import BY_VENDOR
from nightdesk.autonomy.ledger import ENGINE, Ledger
from nightdesk.autonomy.reversal import Reversal
from nightdesk.autonomy.verification import Verdict
from nightdesk.sdk.errors import NightdeskError, PolicyError

__all__ = ["Leases"]

_S = ActionState


class Leases:
    """Leases run on the journal's times: they end on time however often the process was started again."""

    def __init__(self, ledger: Ledger, reversal: Reversal) -> None:
        self._ledger = ledger
        self._reversal = reversal

    def expire(self) -> list[NightdeskError]:
        """Every lease that has run out becomes an undo; also those that a crash left between the two.

        Returns what went wrong with single ones. What cannot be undone yet, its repeat being under way, is asked again.
        """
        broken: list[NightdeskError] = []
        for action in self._ledger.journal.leases_due(self._ledger.clock()):
            try:
                self._ledger.move(action, _S.EXPIRED, "the lease ran out")
            except StaleActionError:
                continue  # renewed or undone meanwhile
        now = self._ledger.clock()
        for action in self._ledger.journal.in_state([_S.EXPIRED, _S.CONTRADICTED]):
            if action.state is _S.CONTRADICTED and not _is_owed(action, now):
                continue
            try:
                ended = action.result.get("ended_by") == "vendor" and action.state is _S.EXPIRED
                self._reversal.request(action, actor=ENGINE, reason=BY_VENDOR if ended else "the lease ran out")
            except (StaleActionError, PolicyError):
                continue  # a person undid it meanwhile, or it waits for its repeat
            except NightdeskError as error:
                broken.append(error)
        return broken

    def renew(self, action: Action, until: datetime, actor: str, reason: str = "") -> Action:
        """A person keeps it longer; the second time in a row takes another person.

        What a vendor's own clock could not be made to last before is asked of it again.
        """
        if action.state not in {_S.LEASED, _S.RENEWED}:
            raise PolicyError(f"{action.action_id} is {action.state}: only a running lease can be renewed")
        if not actor.strip() or same_person(actor, ENGINE):
            raise PolicyError(f"{action.action_id}: a lease is renewed by a person")
        if until <= self._ledger.clock() or (action.lease_until is not None and until <= action.lease_until):
            raise PolicyError(f"{action.action_id}: a renewal must end later than {action.lease_until} and than now")
        if same_person(str(action.result.get("renewed_by", "")), actor):
            raise PolicyError(
                f"{action.action_id}: {actor} renewed it last time: a second renewal takes another person"
            )
        return self._ledger.move(
            action,
            _S.RENEWED,
            f"until {until.isoformat()}{f': {reason}' if reason else ''}",
            actor=actor,
            result={"renewed_by": actor, "clock_lost": "", "clock_held": ""},
            lease_until=until,
        )


def _is_owed(action: Action, now: datetime) -> bool:
    """What a second source contradicted is still the vendor's word, and ends with its lease.

    Else telemetry that somebody forged would keep a host away for ever. What a newer wish contradicted is that one's.
    """
    seen = action.result.get("witness", {}).get("verdict") == Verdict.CONTRADICTED
    return seen and action.lease_until is not None and action.lease_until <= now

"""The guards asked before every request: each compares what was gathered with one limit (guardrails 1 to 4, 7, 8, 12).

They look nothing up and keep nothing, so the journal's facts and the policy of then give the same words again. What a
person has agreed to as the second is not asked about once more; what a rule says is never touched, nobody may.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.admission import Dispatching, Doubt, Guard, acts_alone, contains
from nightdesk.autonomy.guardrails import AssetFacts, flood_check, room
from nightdesk.autonomy.never_touch import forbidden
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.protected import PLAIN_TYPES, bearer, protected
from nightdesk.autonomy.radius import bucket
from nightdesk.autonomy.sharing import marking_told, permissible, shareable
from nightdesk.autonomy.spelling import words
from nightdesk.sdk.case import Check
from nightdesk.sdk.verbs import Risk, TargetKind, verb

__all__ = ["standing_guards"]

_MANY = frozenset(
    {"nat", "vdi", "citrix", "terminal-server", "rds", "shared", "shared-mailbox", "kiosk", "proxy", "vpn"}
)
"""Words in the tags of what stands for more than one person or machine."""
_ONE_OF_THEM = frozenset({"client", "user", "agent", "no", "non"})
"""With one of these a tag says that a thing makes use of it: ``vpn-client`` is one person's."""
_TELLING = frozenset({"ticketing", "chat", "siem"})
_SKEW = timedelta(seconds=120)


def standing_guards(policies: Mapping[str, Policy]) -> tuple[Guard, ...]:
    """Every guard, over the tenants' policies; cheapest first."""

    def never_touch(dispatching: Dispatching) -> Check:
        action = dispatching.action
        policy = policies.get(action.tenant)
        if policy is None or not contains(action):
            return Check("never-touch", passed=True, value=action.target.key, limit="a containment")
        names = [text for facts in _facts(dispatching) for text in facts.names]
        return forbidden(bearer(action.verb, action.target), policy, names)

    return (
        never_touch,
        in_time,
        protected_set,
        known_asset,
        one_asset,
        reversible,
        way_back,
        radius_hour,
        radius_day,
        flood,
        freshness,
        change_window,
        shareable,
        permissible,
        marking_told,
    )


def in_time(dispatching: Dispatching) -> Check:
    """What was to end at a moment does not begin after it: an approval may come too late."""
    stop_at = dispatching.action.result.get("stop_at")
    over = stop_at is not None and dispatching.now >= datetime.fromisoformat(str(stop_at))
    value = f"{dispatching.action.target.key}: {'its time is over' if over else 'in time'}"
    return Check("stop-time", not over, value, str(stop_at or "no end"))


def protected_set(dispatching: Dispatching) -> Check:
    """1: what belongs to the protected set by any source takes two persons."""
    action = dispatching.action
    if not contains(action) or action.approval == Approval.HUMAN:
        return _passed("protected", action)
    felt = bearer(action.verb, action.target)
    why = protected(felt, *_facts(dispatching))
    return Doubt("protected", not why, f"{felt.key}: {why}" if why else felt.key, "not in the protected set")


def known_asset(dispatching: Dispatching) -> Check:
    """1: an asset of which nobody says that it is a plain one is as good as protected."""
    action, around = dispatching.action, dispatching.around
    if not (contains(action) and acts_alone(action)):
        return _passed("known-asset", action)
    felt = bearer(action.verb, action.target)
    if felt.kind in {TargetKind.PROCESS, TargetKind.FILE} and bucket(action.verb) == "host":
        return Doubt("known-asset", passed=False, value=f"{felt.key}: on no named host", limit="a named host")
    if felt.kind is TargetKind.HOST:
        stated = felt.facts.get("asset_type", "")
        listed = around.inventory.asset_type if around.inventory else ""
        # A connector says *other* of what it does not tell apart; the inventory, of what it lists as nothing plain.
        types = {stated, *(facts.asset_type for facts in _facts(dispatching))} - {"", "other"} | {listed} - {""}
        known = around.inventory is not None and bool(types) and types <= PLAIN_TYPES
        shown = f"{felt.key}: {', '.join(sorted(types)) or 'unknown'}{'' if around.inventory else ', in no inventory'}"
        return Doubt("known-asset", known, shown, "one person's device, in the inventory")
    if felt.kind is TargetKind.ACCOUNT:
        known = around.inventory is not None or (around.vendor is not None and around.vendor.asked)
        return Doubt("known-asset", known, felt.key, "an account of which the directory says what it may do")
    return _passed("known-asset", action)


def one_asset(dispatching: Dispatching) -> Check:
    """2: what stands for more than one thing (address translation, shared desktops and mailboxes, content delivery)."""
    action, around = dispatching.action, dispatching.around
    if not (contains(action) and acts_alone(action)):
        return _passed("one-asset", action)
    many = max((facts.resolves_to for facts in _facts(dispatching)), default=1)
    tags = sorted({word for facts in _facts(dispatching) for tag in facts.tags for word in _many(tag)})
    why = f"{many} assets" if many > 1 else ", ".join(tags) or around.shared_as
    return Doubt("one-asset", not why, f"{action.target.key}: {why or '1'}", "exactly one")


def reversible(dispatching: Dispatching) -> Check:
    """4: a machine does nothing that is wide or cannot be taken back, whoever proposed it."""
    action = dispatching.action
    wanted = verb(action.verb)
    bounded = wanted.risk < Risk.R2 or (wanted.risk is Risk.R2 and wanted.reversible)
    fine = bounded or not acts_alone(action)
    return Doubt("reversible", fine, f"{action.verb}: {wanted.risk.name}", "R1, or R2 with an inverse")


def way_back(dispatching: Dispatching) -> Check:
    """6: what loosens a containment as a wish of its own (no undo of one) takes a person."""
    action = dispatching.action
    loosens = acts_alone(action) and not contains(action)
    return Doubt("way-back", not loosens, f"{action.verb} {action.target.key}", "an undo, or a person's wish")


def radius_hour(dispatching: Dispatching) -> Check:
    """2: how many targets a machine may contain in an hour."""
    return _radius(dispatching, "blast-radius-hour", dispatching.around.sent_last_hour, 0, "an hour")


def radius_day(dispatching: Dispatching) -> Check:
    """2: how many in a day."""
    return _radius(dispatching, "blast-radius-day", dispatching.around.sent_last_day, 1, "a day")


def flood(dispatching: Dispatching) -> Check:
    """7: while far more alerts than usual arrive, nothing goes that no person let go; telling people goes on."""
    action, around = dispatching.action, dispatching.around
    wanted = verb(action.verb)
    if action.approval != Approval.POLICY or wanted.risk < Risk.R1 or wanted.role in _TELLING:
        return _passed("flood", action)
    found = flood_check(around.alerts_last_hour, around.alerts_hour_median, around.limits)
    return Doubt(found.name, found.passed, found.value, found.limit)


def freshness(dispatching: Dispatching) -> Check:
    """8: an approval is for then; what waited too long to be sent is asked about again."""
    action, around = dispatching.action, dispatching.around
    if verb(action.verb).risk < Risk.R2 or around.approved_at is None:
        return _passed("freshness", action)
    by_policy = action.approval == Approval.POLICY
    seconds = around.limits.policy_approval_seconds if by_policy else around.limits.person_approval_seconds
    waited = dispatching.now - around.approved_at
    fine = -_SKEW <= waited <= timedelta(seconds=seconds)
    return Doubt("freshness", fine, f"approved {waited.total_seconds():.0f} s ago", f"{seconds:.0f} s")


def change_window(dispatching: Dispatching) -> Check:
    """12: while things are being changed, a machine contains nothing by itself."""
    action, open_now = dispatching.action, dispatching.around.change_windows
    fine = not open_now or not acts_alone(action)
    return Doubt("change-window", fine, ", ".join(open_now), "no change window, no announced work")


def _radius(dispatching: Dispatching, name: str, sent: int, which: int, unit: str) -> Check:
    action, around = dispatching.action, dispatching.around
    if not (contains(action) and acts_alone(action)):
        return _passed(name, action)
    counted = bucket(action.verb)
    limit = room(counted, around.limits, around.fleet_size)[which]
    return Doubt(name, sent + 1 <= limit, f"{action.target.key}: {sent + 1}", f"{limit} {counted}s {unit}")


def _many(tag: str) -> frozenset[str]:
    said = words(tag)
    return frozenset() if said & _ONE_OF_THEM else said & _MANY


def _facts(dispatching: Dispatching) -> list[AssetFacts]:
    around = dispatching.around
    return [facts for facts in (around.inventory, around.vendor) if facts is not None]


def _passed(name: str, action: Action) -> Check:
    return Check(name, passed=True, value=action.target.key, limit="what a machine lets go")

"""Who may stop and who may start again: one person stops, two start, and neither is a program."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from nightdesk.autonomy.asking import RulesOf, unlisted
from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.autonomy.switches import ANYWHERE, Position, Scope, Switch
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.store import Store, switches
from nightdesk.hub.two_persons import MAY, Known, allowed, confirms
from nightdesk.sdk.errors import PolicyError

__all__ = ["MACHINES", "PATIENCE", "STARTS", "STOPS", "Known", "Started", "missing", "person", "start", "stop"]

STOPS = frozenset({Role.ANALYST, Role.APPROVER, Role.ADMIN})
STARTS = MAY
MACHINES = frozenset({ENGINE, "policy", "autonomy", "tickets", "hub"})
"""Names under which the machine itself acts."""
PATIENCE = timedelta(hours=24)
"""How long a word to start waits for a second one: nobody finds half a start that was forgotten."""


class Started(NamedTuple):
    """What a person's word to start did: it runs again, or it waits for a second one."""

    position: Position
    running: bool


def person(tenants: Mapping[str, TenantSettings]) -> Known:
    """``Known`` of a configuration, for a command without a hub."""

    def find(tenant: str, name: str) -> Principal | None:
        found = tenants[tenant].tokens.get(name) if tenant in tenants else None
        return Principal(tenant, name, Role(found.role), found.instance) if found else None

    return find


def missing(switch: Switch, tenants: Mapping[str, TenantSettings], rolled: Collection[str] = ()) -> str:
    """What is wrong with a subject that nothing configured has, or nothing: a slip of the pen would stop nothing.

    ``rolled`` are rules of a policy that is being rolled out.
    """
    whose = [one for slug, one in tenants.items() if switch.tenant in {ANYWHERE, slug}]
    if switch.scope is Scope.RULE:
        policies = [one.policy.policy if isinstance(one.policy, SignedPolicy) else one.policy for one in whose]
        there = {rule.id for policy in policies for rule in policy.rules} | set(rolled)
    elif switch.scope is Scope.VENDOR_ACTION:
        there = {instance.manifest.vendor for one in whose for instance in one.instances.values()}
    else:
        return ""
    if switch.owner in there:
        return ""
    return f"{switch}: there is no {switch.owner!r} that it could stop; there are {', '.join(sorted(there)) or 'none'}"


def stop(store: Store, switch: Switch, *, by: str, reason: str, missing: str = "") -> Position:
    """Stops it, in every process from the next request on. Raises PolicyError without a person or a reason.

    ``missing`` is what that function said, where the configuration is known.
    """
    if missing:
        raise PolicyError(missing)
    if not by.strip() or by in MACHINES:
        raise PolicyError(f"{switch}: {by or 'nobody'} is no person; say who stops it")
    _explained(switch, reason)
    return store.transact(lambda conn: switches.stop(conn, switch, by=by, reason=reason, at=store.clock()))


def start(
    store: Store, switch: Switch, *, by: Principal, reason: str, known: Known, rules: RulesOf = unlisted
) -> Started:
    """The first person's word is noted, a second one's starts it. Raises PolicyError for who may not.

    Who asked is looked up again when the second one confirms: a revoked credential's word no longer counts, nor one
    that is older than ``PATIENCE``. ``rules`` tell which names are one person's.
    """
    _explained(switch, reason)
    _allowed(switch, by)
    signed = by.name if switch.tenant != ANYWHERE else f"{by.tenant}/{by.name}"

    def work(conn: Connection) -> Started:
        before = switches.position(conn, switch, hold=True)
        if before is None or not before.stopped:
            raise PolicyError(f"{switch} is not stopped: there is nothing to start")
        now = store.clock()
        asked = switches.asked_at(conn, switch)
        first = _asker(before, known) if asked is not None and now - asked <= PATIENCE else None
        if not confirms(str(switch), first, by, is_same=_one_human(rules, first, by)):
            return Started(switches.ask_to_start(conn, before, by=signed, reason=reason, at=now), running=False)
        return Started(switches.start(conn, before, by=signed, reason=reason, at=now), running=True)

    return store.transact(work)


def _one_human(rules: RulesOf, *asked: Principal | None) -> Callable[[str, str], bool]:
    """By what either one's tenant lists: a name may be the account of a person who has another credential."""
    tenants = {one.tenant for one in asked if one is not None}
    return lambda one, other: any(rules(tenant).is_same(one, other) for tenant in tenants)


def _asker(before: Position, known: Known) -> Principal | None:
    if not before.asked_by:
        return None
    if before.switch.tenant != ANYWHERE:
        found = known(before.switch.tenant, before.asked_by)
    else:
        tenant, _, name = before.asked_by.partition("/")
        found = known(tenant, name)
    return found


def _allowed(switch: Switch, by: Principal) -> None:
    allowed(str(switch), by)
    if switch.tenant not in {by.tenant, ANYWHERE}:
        raise PolicyError(f"{switch}: {by.name} belongs to {by.tenant}")


def _explained(switch: Switch, reason: str) -> None:
    if not reason.strip():
        raise PolicyError(f"{switch}: say why; it is what the next person reads")

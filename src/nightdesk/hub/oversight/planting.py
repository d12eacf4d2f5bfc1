"""Canaries: an attack that was one, sent in again as an alert of its own, and told of only after it was judged.

It goes the way of every alert; nothing on that way knows that it is one. The flag stands in a table that no decision
reads, and is asked for at the very end: what would leave for a vendor because of it stays here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.dispatch import Shadow
from nightdesk.autonomy.levels.units import family_of, rule_key
from nightdesk.autonomy.oversight.canaries import Canary
from nightdesk.autonomy.switches import Brake, Clearance, Word
from nightdesk.hub.api.view import Principal
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.persons import PLANTS, admitted
from nightdesk.hub.store import Store, alerts, canaries, cases, intake
from nightdesk.sdk.errors import PolicyError, UnavailableError
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.stix.normalize import Normalizer

__all__ = ["Planted", "mutated", "plant", "reveal", "shadow", "shadowed"]

_KEPT = "its only reason is a canary: it is kept in the journal and not sent"


@dataclass(frozen=True, slots=True)
class Planted:
    """A canary on its way, for the person who planted it."""

    canary: Canary
    title: str


def mutated(payload: bytes, changes: Mapping[str, str]) -> bytes:
    """The alert with these texts exchanged wherever they stand as a whole value or within one.

    A replayed attack needs at least an id of its own; hosts and accounts are best exchanged for decoys. Raises
    PolicyError when a text does not occur: a slip of the pen would plant a duplicate.
    """
    text = payload.decode("utf-8", "surrogateescape")
    for old, new in changes.items():
        quoted_old, quoted_new = (orjson.dumps(one).decode()[1:-1] for one in (old, new))
        if not old or quoted_old not in text:
            raise PolicyError(f"{old!r} does not occur in the alert: nothing to exchange for {new!r}")
        text = text.replace(quoted_old, quoted_new)
    return text.encode("utf-8", "surrogateescape")


def plant(
    office: Office,
    normalizer: Normalizer,
    tenant: str,
    *,
    by: Principal,
    connector: str,
    payload: bytes,
    origin: str,
) -> Planted:
    """Sends the payload in as if that connector had delivered it. ``origin`` names the attack that it is made from.

    Raises PolicyError for who may not, an unknown connector, or an alert that the tenant knows already (a real one must
    not be marked a canary), and MappingError for a payload that is no alert of the connector's product.
    """
    admitted(by, tenant, PLANTS, "planting a canary")
    settings = office.tenants[tenant]
    instance = settings.instances.get(connector)
    if instance is None:
        there = ", ".join(settings.instances)
        raise PolicyError(f"{tenant} has no connector {connector!r}; there are {there or 'none'}")
    streams = {**instance.manifest.receives, **instance.manifest.pulls}
    if not streams:
        raise PolicyError(f"{connector} delivers no alerts, so none can be planted there")
    if not origin.strip():
        raise PolicyError("say which attack the canary is made from: only what really was one shows anything")
    stream, spec = next(iter(streams.items()))
    alert = normalizer.normalize(spec.product, payload, settings.scope).alert
    rule = rule_key(alert.product, alert.rule_id or alert.rule_name, alert.rule_version)
    at = office.clock()
    one = Canary(
        tenant=tenant,
        canary_id=canaries.canary_id(tenant, alert.alert_id),
        family=family_of(rule),
        rule=rule,
        instance=connector,
        alert_id=alert.alert_id,
        planted_at=at,
        planted_by=by.name,
        origin=origin,
    )

    def work(conn: Connection) -> None:
        if alerts.alert(conn, tenant, alert.alert_id) is not None:
            raise PolicyError(f"{tenant} knows that alert already ({alert.native_id}): exchange its id for a new one")
        canaries.plant(conn, one)
        batch = Batch((RawRecord(payload, key=f"canary:{one.canary_id}", native_id=alert.native_id),), None)
        intake.store_page(
            conn, tenant=tenant, instance=connector, stream=stream, product=spec.product, batch=batch, received_at=at
        )

    office.store.transact(work)
    return Planted(one, alert.title)


def reveal(office: Office, tenant: str, canary_id: str, *, by: Principal) -> Canary:
    """Tells which alert it was and what became of it. Raises PolicyError before it was decided."""
    admitted(by, tenant, PLANTS, "revealing a canary")

    def work(conn: Connection) -> Canary:
        found = canaries.canary(conn, tenant, canary_id, hold=True)
        if found is None:
            raise PolicyError(f"{tenant}: there is no canary {canary_id}; `autonomy canary list` shows them")
        told = found.revealed(by.name, office.clock())
        canaries.keep(conn, told, event="canary.revealed", by=by.name, at=office.clock())
        return told

    return office.store.transact(work)


def shadow(store: Store) -> Shadow:
    """Asked before a vendor hears anything of an action: why it never is to, because a canary is its only reason.

    An action on something that a real alert of the same case names too goes the way of every other: a canary that
    joined a real case hinders nobody. Raises UnavailableError when the store cannot be read: then nothing leaves.
    """

    def why(action: Action) -> str:
        try:
            with store.read() as conn:
                return _KEPT if _for_a_canary(conn, action) else ""
        except SQLAlchemyError as error:
            raise UnavailableError(
                f"the canaries cannot be read ({type(error).__name__}), so nothing leaves: check the database"
            ) from error

    return why


def shadowed(store: Store, brake: Brake) -> Brake:
    """The brake that also asks this, right before each request leaves."""
    why = shadow(store)

    def clear(action: Action) -> Clearance:
        told = why(action)
        return Clearance(Word.CANCEL, told) if told else brake(action)

    return clear


def _for_a_canary(conn: Connection, action: Action) -> bool:
    if not action.case_id or not canaries.any_planted(conn, action.tenant):
        return False
    case = cases.case(conn, action.tenant, action.case_id)
    if case is None:
        return False
    false = canaries.among(conn, action.tenant, case.alerts)
    if not false:
        return False
    real = [alert for alert in case.alerts if alert.alert_id not in false]
    targets = {action.target.key, action.target.value}
    named = {entity.key for alert in real for entity in alert.entities} | {alert.native_id for alert in real}
    about_case = action.target.kind == "case" and bool(real)
    return not about_case and not targets & named

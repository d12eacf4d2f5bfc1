"""Whom to ask about an effect, and what they say: other vendors' telemetry, and the alerts that came by themselves."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.routing import answer
from nightdesk.autonomy.testimony import entity_key, told_by
from nightdesk.autonomy.verification import RULES, Finding, Source, Verdict, is_own_sensor, judge, witness_of
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import InstanceSettings, TenantSettings
from nightdesk.hub.store import Store, cases
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.ports import ChecksHealth, Sighting, Witnesses

__all__ = ["Hearing", "effect_of", "grace_of", "vendor_of"]

_PAGE, _PAGES = 200, 5
_BEFORE = 100
_ANSWER = 60.0  # seconds for one call
_KEPT = 5  # sightings that the journal keeps of a finding


class Hearing:
    """Asks, and writes nothing down."""

    def __init__(self, store: Store, bindings: Bindings, clock: Clock) -> None:
        self._store = store
        self._bindings = bindings
        self._clock = clock
        self._read: dict[tuple[str, str], tuple[tuple[str, datetime], ...]] = {}

    def forget(self, action: Action) -> None:
        """What was read of its cases was not written down: it is read again."""
        self._read.pop((action.tenant, action.action_id), None)

    def keep(self, actions: Sequence[Action]) -> None:
        """Only these are still of interest."""
        keys = {(action.tenant, action.action_id) for action in actions}
        self._read = {key: seen for key, seen in self._read.items() if key in keys}

    def independent(self, action: Action, tenant: TenantSettings) -> list[str]:
        """The bound connectors of other vendors that can tell of this kind of target."""
        vendor = vendor_of(action, tenant)
        asked = tenant.witness.ask
        return [
            name
            for name, one in tenant.instances.items()
            if action.target.kind in one.manifest.witnesses
            and one.manifest.vendor != vendor
            and one.shared is None  # a part of an account sees the other customers' telemetry as well
            and not one.routes
            and (asked is None or name in asked)
        ]

    async def ask(self, action: Action, tenant: TenantSettings, name: str) -> dict[str, Any]:
        """One look of one witness, as the journal keeps it; what goes wrong is its answer *down*."""
        known: Mapping[str, Any] = witness_of(action).get("by", {}).get(name, {})
        kept = {fact: known[fact] for fact in ("skew", "sighted") if fact in known}
        now = self._clock()
        try:
            connector = self._bindings.connector(action.tenant, name)
            if "skew" not in kept:
                # What cannot be measured now is measured at the next look.
                kept |= await _skew(connector)
            source = self._source(action, tenant, name, kept)
            if "sighted" not in kept:
                kept["sighted"] = await self._sighted(action, connector, source)
                source = self._source(action, tenant, name, kept)
            finding = await self._finding(action, connector, source, now)
        except NightdeskError as error:
            finding = Finding(Verdict.DOWN, f"{name} could not be asked: {error}")
        return _record(finding, now) | kept

    def _source(self, action: Action, tenant: TenantSettings, name: str, kept: Mapping[str, Any]) -> Source:
        vendor = vendor_of(action, tenant)
        acting = _acting(action, tenant, vendor)
        return Source(
            name,
            peers=(*acting.manifest.management_peers, *acting.management_peers) if acting else (),
            acting=(vendor, *(acting.manifest.known_as if acting else ())) if vendor else (),
            skew=float(kept.get("skew", 0.0)),
            tolerated=tenant.witness.tolerated_skew_seconds,
            sighted=bool(kept.get("sighted")),
            grace=grace_of(action, tenant),
        )

    async def _sighted(self, action: Action, connector: Any, source: Source) -> bool:
        """Whether it saw the target before the effect, by records that are not the acting product's own."""
        start, skew = effect_of(action), timedelta(seconds=source.skew)
        since = start - RULES[action.verb].look_back + skew
        before = await _activity(connector, action, since, start + skew, limit=_BEFORE)
        return any(not is_own_sensor(one, source) for one in before)

    async def _finding(self, action: Action, connector: Any, source: Source, now: datetime) -> Finding:
        skew = timedelta(seconds=source.skew)
        grace = source.grace or timedelta(0)
        since, until = effect_of(action) + grace + skew, now + skew
        seen: dict[str, Sighting] = {}
        for _ in range(_PAGES):
            page = await _activity(connector, action, since, until, limit=_PAGE)
            fresh = [one for one in page if one.native_id not in seen]
            seen.update((one.native_id, one) for one in fresh)
            finding = judge(action, seen.values(), source)
            if finding.verdict is Verdict.CONTRADICTED or len(page) < _PAGE:
                return finding
            if not fresh:
                break
            since = max(one.at for one in page)
        if finding.verdict is Verdict.DOUBTFUL:
            return finding
        return Finding(Verdict.BLIND, f"{source.name} has more than the {len(seen)} records that were read")

    def alerts(self, action: Action, tenant: TenantSettings) -> dict[str, dict[str, Any]]:
        """What other products' alerts show; a case is read again only when it changed. Blocking."""
        key, effect = entity_key(action), effect_of(action)
        if not key:
            return {}
        with self._store.read() as conn:
            touching = cases.cases_touching(conn, action.tenant, [key], effect).get(key, [])
            versions = tuple(sorted((case.case_id, case.updated_at) for case in touching))
            if not versions or self._read.get((action.tenant, action.action_id)) == versions:
                return {}
            found = cases.cases(conn, action.tenant, [case.case_id for case in touching])
        self._read[action.tenant, action.action_id] = versions
        vendor = vendor_of(action, tenant)
        told: dict[str, list[Sighting]] = {}
        for case in found.values():
            for alert in case.alerts:
                other = tenant.instances.get(alert.source)
                if other is not None and other.manifest.vendor != vendor:
                    told.setdefault(alert.source, []).extend(told_by(action, alert))
        records = {}
        for name, seen in told.items():
            finding = judge(action, seen, self._source(action, tenant, name, {}))
            if finding.verdict in {Verdict.CONTRADICTED, Verdict.DOUBTFUL}:
                records[f"alerts of {name}"] = _record(finding, self._clock())
        return records


def effect_of(action: Action) -> datetime:
    """When it was read back; of what never was, when it was last moved."""
    return action.effective_at or action.updated_at


def grace_of(action: Action, tenant: TenantSettings) -> timedelta:
    """How long after the effect things may still trickle through."""
    seconds = tenant.witness.grace_seconds.get(action.verb)
    return RULES[action.verb].grace if seconds is None else timedelta(seconds=seconds)


def vendor_of(action: Action, tenant: TenantSettings) -> str:
    """The vendor that acted, by the journal: after a swap the instance of that name may be another's, or gone."""
    acting = tenant.instances.get(action.instance)
    return str(action.result.get("vendor", "")) or (acting.manifest.vendor if acting else "")


def _acting(action: Action, tenant: TenantSettings, vendor: str) -> InstanceSettings | None:
    """The connector that acted, or one of the same vendor that is still bound: their hosts have one management."""
    named = [tenant.instances[action.instance]] if action.instance in tenant.instances else []
    return next((one for one in (*named, *tenant.instances.values()) if one.manifest.vendor == vendor), None)


async def _activity(
    connector: Any, action: Action, since: datetime, until: datetime, *, limit: int
) -> Sequence[Sighting]:
    if not isinstance(connector, Witnesses):
        return ()
    call = connector.activity(action.target, since, until, limit=limit)
    return await answer(call, operation="read telemetry", within=_ANSWER)


async def _skew(connector: Any) -> dict[str, float]:
    """How far its clock is ahead, in seconds; nothing where nobody can say."""
    if not isinstance(connector, ChecksHealth):
        return {}
    health = await answer(connector.check_health(), operation="check health", within=_ANSWER)
    return {} if health.clock_skew is None else {"skew": health.clock_skew}


def _record(finding: Finding, now: datetime) -> dict[str, Any]:
    """What the journal keeps; the texts are the vendor's, and shown escaped."""
    seen = [
        {"kind": one.kind.value, "at": one.at.isoformat(), "id": one.native_id[:200], "text": one.text[:300]}
        for one in finding.sightings[:_KEPT]
    ]
    return {"verdict": finding.verdict.value, "text": finding.text, "at": now.isoformat(), "seen": seen}

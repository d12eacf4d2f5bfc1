"""What one action would do, said without doing it: where it would go, what would be sent, what stands against it.

Nobody is asked: what only the product knows (its own id of a host, whether it is so already) is named as unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import Counsel, Dispatching, losses, weigh
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.routing import Route
from nightdesk.hub.hub import Hub
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.ports import Acts, ReadsBack, WritesBack
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind, Verb, verb

__all__ = ["Planned", "plan"]

_LOOKED_UP: Mapping[TargetKind, str] = {
    TargetKind.HOST: "its id of the host",
    TargetKind.PROCESS: "its id of the host",
    TargetKind.ACCOUNT: "its id of the account",
    TargetKind.MEMBERSHIP: "its id of the account",
    TargetKind.CREDENTIAL: "its id of the owner",
}
_ON_HOSTS = frozenset({"file.quarantine", "file.restore", "file.fetch"})


@dataclass(frozen=True, slots=True)
class Planned:
    """One command that would leave. ``stops`` says why it would not; ``unknown`` what nobody can know before."""

    verb: str
    target: str
    risk: str
    instance: str = ""
    vendor: str = ""
    approval: str = ""
    parameters: Mapping[str, Any] | None = None
    losses: tuple[str, ...] = ()
    lease_seconds: float | None = None
    read_back: str = ""
    undo: str = ""
    stops: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def plan(  # noqa: PLR0913  # an action has this many facts; all but four are keywords
    hub: Hub,
    tenant: str,
    name: str,
    target: Target,
    *,
    by: str,
    parameters: Mapping[str, Any] | None = None,
    lease: timedelta | None = None,
    accept_losses: Sequence[str] = (),
    source_instance: str = "",
    case_id: str = "",
    approval: Approval = Approval.DIRECT,
) -> Planned:
    """Computes it on a hub whose network is a tripwire (``dryrun.dry``). Raises UnsupportedError for no such verb."""
    wanted = verb(name)
    given = dict(parameters or {})
    now = hub.clock()
    result: dict[str, Any] = {"accept_losses": sorted(accept_losses)}
    if lease is not None:
        result["lease_seconds"] = lease.total_seconds()
    action = Action(
        tenant=tenant,
        action_id="act-dry-run",
        verb=name,
        target=target,
        generation=0,
        idempotency_key="dry-run",
        state=ActionState.APPROVED,
        created_at=now,
        updated_at=now,
        instance=source_instance,
        case_id=case_id,
        parameters=given,
        requested_by=by,
        approval=approval.value,
        result=result,
    )
    stops = [text for text in (_misfit(wanted, target, given, lease),) if text]
    second = wanted.risk is Risk.R4 or approval is Approval.HUMAN
    said = {
        "verb": name,
        "target": target.key,
        "risk": f"R{int(wanted.risk)}",
        "approval": "a second person" if second else f"{by} alone",
        "lease_seconds": lease.total_seconds() if lease is not None else None,
    }
    try:
        route = _route(hub, tenant, wanted, source_instance)
        lost = losses(action, route)
    except NightdeskError as error:
        return Planned(**said, stops=(*stops, str(error)))  # type: ignore[arg-type]  # the facts above, each of its type
    around = hub.lookout.survey(action, route, now)
    counsel = weigh(hub.guards, Dispatching(action, route.instance, route.vendor, now, around))
    declared = route.action_manifest
    return Planned(
        **said,  # type: ignore[arg-type]  # the facts above, each of its type
        instance=route.instance,
        vendor=route.vendor,
        parameters={key: value for key, value in given.items() if key not in lost},
        losses=lost,
        read_back=declared.read_back or f"none: {declared.accept_only}",
        undo=_undo(wanted, route),
        stops=(*stops, *_said(counsel), *_ports(route, name)),
        unknown=_unknown(wanted, route),
    )


def _said(counsel: Counsel) -> list[str]:
    """What the guards would say now."""
    asks = [f"asks a second person: {counsel.question}"] if counsel.question else []
    return [counsel.refusal, *asks] if counsel.refusal else asks


def _route(hub: Hub, tenant: str, wanted: Verb, source: str) -> Route:
    """The instance by the binding alone; the product is not asked for its id of the target."""
    bindings = hub.bindings
    if wanted.role == "source":
        return bindings.planned(tenant, wanted.name, source)
    return bindings.planned(tenant, wanted.name, bindings.bound(tenant, wanted.name, wanted.role))


def _misfit(wanted: Verb, target: Target, given: Mapping[str, Any], lease: timedelta | None) -> str:
    if target.kind is not wanted.target:
        return f"{wanted.name} is done to a {wanted.target}, not to {target.key}"
    unknown = sorted(set(given) - set(wanted.parameters))
    if unknown:
        return f"{wanted.name} has no parameter {', '.join(unknown)}"
    if lease is not None and not wanted.reversible:
        return f"{wanted.name} cannot be leased: {wanted.no_inverse}"
    return ""


def _undo(wanted: Verb, route: Route) -> str:
    declared = route.action_manifest
    if not wanted.inverse:
        return f"none: {wanted.no_inverse}"
    return f"none here: {declared.irreversible}" if declared.irreversible else wanted.inverse


def _ports(route: Route, name: str) -> list[str]:
    """What the connector's code lacks of what its manifest declares."""
    acts = isinstance(route.port, WritesBack if name.startswith("alert.") else Acts)
    reads = bool(route.action_manifest.accept_only) or isinstance(route.port, ReadsBack)
    lacks = [text for text, there in (("to act", acts), ("to read back", reads)) if not there]
    return [f"{route.instance} declares {name} and has no code {' or '.join(lacks)}"] if lacks else []


def _unknown(wanted: Verb, route: Route) -> tuple[str, ...]:
    asked = _LOOKED_UP.get(wanted.target, "its id of the host" if wanted.name in _ON_HOSTS else "")
    found = [f"{asked}: {route.instance} is asked when it is run, and must know exactly one"] if asked else []
    if not route.action_manifest.accept_only:
        found.append("whether it is so already: read when it is run")
    return tuple(found)

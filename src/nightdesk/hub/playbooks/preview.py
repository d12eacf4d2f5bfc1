"""A playbook's dry run: every step, where each command would go, what would be sent; nobody is asked anything."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nightdesk.autonomy.playbooks.commands import Order, target_of
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.outlook import Line, outlook
from nightdesk.autonomy.playbooks.variables import mentioned
from nightdesk.autonomy.proposals import Approval
from nightdesk.hub.hub import Hub
from nightdesk.hub.plan import Planned, plan
from nightdesk.hub.playbooks.readiness import offered
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.verbs import Risk

__all__ = ["PlannedStep", "preview"]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step and its commands. ``when`` is empty on the straight way."""

    depth: int
    step: str
    kind: str
    name: str
    when: str
    text: str
    commands: tuple[Planned, ...]


def preview(
    hub: Hub,
    tenant: str,
    playbook: Playbook,
    called: Mapping[str, Playbook],
    values: Mapping[str, str],
    *,
    by: str,
    case_id: str,
) -> list[PlannedStep]:
    """Every step in order, on a hub whose network is a tripwire (``dryrun.dry``)."""
    books = {playbook.id: playbook, **called}
    return [
        PlannedStep(
            line.depth,
            line.step,
            line.kind,
            line.name,
            line.when,
            line.text,
            tuple(_planned(hub, tenant, books[line.playbook], line, order, by, case_id) for order in line.orders),
        )
        for line in outlook(playbook, called, values)
    ]


def _planned(hub: Hub, tenant: str, book: Playbook, line: Line, order: Order, by: str, case_id: str) -> Planned:
    later = tuple(f"{name}: a step before this one sets it" for name in line.unknown)
    approval = Approval.DIRECT if order.verb.risk <= Risk.R1 else Approval.HUMAN
    lack = offered(hub.settings.tenants[tenant], order.verb)
    risk = f"R{int(order.verb.risk)}"
    if lack:
        bound = order.verb.role in hub.settings.tenants[tenant].roles
        out = line.skippable if bound else order.verb.role in book.header.roles.optional
        return Planned(order.verb.name, order.value, risk, stops=(f"{'left out' if out else 'fails'}: {lack}",))
    if list(mentioned((order.value, order.facts))):
        return Planned(order.verb.name, order.value, risk, unknown=later)
    try:
        target = target_of(order)
    except NightdeskError as error:
        return Planned(order.verb.name, order.value, risk, stops=(f"fails: {error}",))
    found = plan(
        hub,
        tenant,
        order.verb.name,
        target,
        by=by,
        parameters=order.parameters,
        lease=order.lease,
        accept_losses=order.accept_losses,
        case_id=case_id,
        approval=approval,
    )
    return replace(found, unknown=(*found.unknown, *later))

"""Commands on what is in force: take it back, or keep it longer."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightdesk.hub.cli.cases import As, Wait, one_action, run_on_hub, settled
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles

if TYPE_CHECKING:
    from nightdesk.autonomy.actions import Action
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.takeback import Taken

__all__ = ["renew", "undo"]

_DEFAULT = Path("nightdesk.yaml")


def undo(
    tenant: TenantName,
    who: As,
    action_id: Annotated[str, typer.Argument(help="One action; or name a case.")] = "",
    case_id: Annotated[str, typer.Option("--case", help="Everything done for this case.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Everything of the case; without a case, everything of the tenant.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a whole tenant's are taken back.")] = False,
    wait: Wait = 60.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Takes actions back at the connector that carried them out, and waits for the read-back. Exit 1: some are left."""
    if bool(action_id) == bool(case_id or everything):
        fail("name one action, one --case, or --all", code=2, as_json=as_json)
    if action_id:

        async def one(hub: "Hub") -> "list[Action]":
            asked = await hub.engine.undo(one_action(hub, tenant, action_id), actor=who, reason=reason)
            return [await settled(hub, asked, wait) if asked.state == "undo_requested" else asked]

        run_on_hub(config, tenant, as_json, one)
        return
    if not case_id and not yes and (as_json or not typer.confirm(f"Take back everything in force of {tenant}?")):
        fail("nothing was taken back; --yes takes back everything of the tenant", code=2, as_json=as_json)
    _undo_many(config, tenant, case_id, who, reason, wait, as_json)


def _undo_many(config: Path, tenant: str, case_id: str, who: str, reason: str, wait: float, as_json: bool) -> None:
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.takeback import UNDOABLE, take_back

    async def go(hub: "Hub") -> "list[Taken]":
        try:
            journal = hub.journal
            why = reason or "taken back"
            await asyncio.to_thread(lambda: hub.playbooks.stop_all(tenant, by=who, why=why, case_id=case_id))
            wide = sorted(UNDOABLE)
            found = journal.of_case(tenant, case_id) if case_id else journal.in_state(wide, tenant=tenant)
            wanted = [action for action in reversed(found) if action.state in UNDOABLE]
            return await take_back(hub, wanted, by=who, why=reason, wait=wait)
        finally:
            await hub.bindings.aclose()

    with troubles(as_json), opened(config, tenant) as (settings, store):
        taken = asyncio.run(go(Hub(settings, Registry.load(), store)))
    if as_json:
        emit(taken)
    else:
        rows = [(one.action_id, one.verb, one.target, one.state, one.said) for one in taken]
        table("", ("action", "verb", "target", "state", "said"), rows)
    if any(one.left for one in taken):
        raise typer.Exit(1)


def renew(
    action_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    who: As,
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="From now on.")] = 4.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Keeps what is leased longer; the second time in a row takes another person."""
    from datetime import timedelta

    async def work(hub: "Hub") -> "list[Action]":
        until = hub.clock() + timedelta(hours=hours)
        return [hub.engine.renew(one_action(hub, tenant, action_id), until, who)]

    run_on_hub(config, tenant, as_json, work)

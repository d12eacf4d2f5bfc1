"""Commands on what is in force: list it, take it back, or keep it longer."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightdesk.hub.cli.cases import As, Wait, one_action, run_on_hub, settled
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles

if TYPE_CHECKING:
    from nightdesk.autonomy.actions import Action
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.takeback import Taken

__all__ = ["leases", "renew", "undo"]

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
    if not case_id and not yes and (as_json or not _is_meant(config, tenant)):
        fail("nothing was taken back; --yes takes back everything of the tenant", code=2, as_json=as_json)
    _undo_many(config, tenant, case_id, who, reason, wait, as_json)


def _is_meant(config: Path, tenant: str) -> bool:
    """Asks on standard error, with how much it is."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.store.actions import SqlJournal
    from nightdesk.hub.takeback import OPEN, is_to_take_back

    with troubles(as_json=False), opened(config, tenant) as (_, store):
        found = SqlJournal(store).in_state(sorted(OPEN), tenant=tenant)
    count = sum(map(is_to_take_back, found))
    return typer.confirm(f"Take back {count} action{'' if count == 1 else 's'} of {tenant}?", err=True)


def _undo_many(config: Path, tenant: str, case_id: str, who: str, reason: str, wait: float, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.takeback import take_back

    async def go(hub: "Hub") -> "list[Taken]":
        try:
            why = reason or "taken back"
            await asyncio.to_thread(lambda: hub.playbooks.stop_all(tenant, by=who, why=why, case_id=case_id))
            wanted = _to_take_back(hub, tenant, case_id)
            with Progress(console=Console(stderr=True), transient=True, disable=as_json) as shown:
                bar = shown.add_task("taken back")
                tell = partial(shown.update, bar)
                return await take_back(
                    hub,
                    wanted,
                    by=who,
                    why=reason,
                    wait=wait,
                    tell=lambda done, of: tell(completed=done, total=of),
                )
        finally:
            await hub.bindings.aclose()

    with troubles(as_json), opened(config, tenant) as (settings, store):
        taken = asyncio.run(go(Hub(settings, Registry.load(), store)))
    if as_json:
        emit(taken)
    else:
        rows = [(one.action_id, one.verb, one.target, one.state, one.said) for one in taken]
        table("" if taken else "nothing is in force", ("action", "verb", "target", "state", "said"), rows)
    if any(one.left for one in taken):
        raise typer.Exit(1)


def _to_take_back(hub: "Hub", tenant: str, case_id: str) -> "list[Action]":
    """Newest first. Raises UnsupportedError for a case that there is not: a slip of the pen is no case that is free."""
    from nightdesk.hub.store import queries
    from nightdesk.hub.takeback import OPEN, is_to_take_back
    from nightdesk.sdk.errors import UnsupportedError

    journal = hub.journal
    found = journal.of_case(tenant, case_id) if case_id else journal.in_state(sorted(OPEN), tenant=tenant)
    if case_id and not found:
        with hub.store.read() as conn:
            if queries.case_page(conn, tenant, case_id) is None:
                raise UnsupportedError(f"{tenant}: no case {case_id}; `nightdesk cases --tenant {tenant}` lists them")
    return [one for one in reversed(found) if is_to_take_back(one)]


def leases(tenant: TenantName, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Lists what is held at vendors and when each of it ends by itself: what is in trouble first, then the next end."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.held import held, time_left
    from nightdesk.hub.store.actions import SqlJournal
    from nightdesk.hub.takeback import UNDOABLE
    from nightdesk.sdk.context import utc_now

    with troubles(as_json), opened(config, tenant) as (_, store):
        found = held(SqlJournal(store).in_state(sorted(UNDOABLE), tenant=tenant), utc_now())
    if as_json:
        emit(found)
        return
    rows = [
        (one.action_id, one.verb, one.target, one.state, f"{one.ends_at:%Y-%m-%d %H:%M} UTC" if one.ends_at else "",
         time_left(one.seconds_left), one.instance, one.case_id, one.said)
        for one in found
    ]  # fmt: skip
    table(f"held for {tenant}", ("action", "verb", "target", "state", "ends", "", "at", "case", "said"), rows)
    if found:
        typer.echo(f"keep one longer: nightdesk renew ACTION --tenant {tenant} --as WHO --hours N; take it back: undo")


def renew(
    action_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    who: As,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=8784, help="From now on; a year at most.")] = 4.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Keeps what is leased longer; the second time in a row takes another person."""
    from datetime import timedelta

    async def work(hub: "Hub") -> "list[Action]":
        until = hub.clock() + timedelta(hours=hours)
        return [hub.engine.renew(one_action(hub, tenant, action_id), until, who)]

    run_on_hub(config, tenant, as_json, work)

"""Commands on feeds: fetch a past window once more."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, troubles

__all__ = ["backfill"]

_DEFAULT = Path("nightdesk.yaml")


def backfill(  # options of a command
    tenant: TenantName,
    connector: Annotated[str, typer.Argument(help="The connector's name in the configuration.")],
    stream: Annotated[str, typer.Argument(help="One of its streams.")],
    begin: Annotated[str, typer.Option("--from", help="2026-11-01T00:00:00Z")],
    end: Annotated[str, typer.Option("--to", help="Stop once everything up to here is met; now without.")] = "",
    pause: Annotated[float, typer.Option("--pause", min=0, help="Seconds between two pages.")] = 1.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Fetches a past window beside the live feed, which it leaves alone; goes on where it stopped when run again."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    from nightdesk.hub.backfill import Backfill, Progress
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.context import utc_now

    moments = [_moment(text) for text in (begin, end or utc_now().isoformat())]
    if None in moments:
        fail("--from and --to are times like 2026-11-01T00:00:00Z", code=2, as_json=as_json)
    first, last = (moment for moment in moments if moment is not None)
    if first >= last:
        fail("--from is not before --to", code=2, as_json=as_json)

    async def work(filling: Backfill) -> Progress:
        found = Progress()
        with Bar(console=Console(stderr=True), transient=True, disable=as_json) as bar:
            task = bar.add_task("backfill", total=(last - first).total_seconds())
            async for found in filling.run():
                met = (found.reached or first) - first
                bar.update(task, completed=met.total_seconds(), description=f"{found.new} new of {found.received}")
        return found

    with troubles(as_json), opened(config, tenant) as (settings, store):
        filling = Backfill(
            settings,
            Registry.load(),
            store,
            tenant=tenant,
            connector=connector,
            stream=stream,
            begin=first,
            end=last,
            pause=pause,
        )
        found = asyncio.run(work(filling))
    unbounded = bool(end) and found.reached is None and found.received > 0
    if unbounded:
        typer.echo("this connector does not tell how far it is: everything up to now was fetched", err=True)
    if as_json:
        emit(
            {
                "stream": filling.place,
                "received": found.received,
                "new": found.new,
                "pages": found.pages,
                "bounded": not unbounded,
            }
        )
    else:
        typer.echo(f"{connector}/{stream}: {found.received} received, {found.new} of them new")


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

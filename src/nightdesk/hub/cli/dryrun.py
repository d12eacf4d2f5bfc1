"""Dry runs at the command line: a hub that reaches nobody, and what it says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nightdesk.hub.cli.output import emit, plain, troubles, visible

if TYPE_CHECKING:
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.plan import Planned

__all__ = ["a_hub", "plan_one", "planned_lines"]


@contextmanager
def a_hub(config: Path, tenant: str, *, tripped: bool = False) -> "Iterator[Hub]":
    """A hub that pulls nothing; ``tripped``: one that reaches no network and holds no secret."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.dryrun import dry
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry

    with opened(config, tenant) as (settings, store):
        if tripped:
            with dry(settings) as tripwire:
                yield Hub(tripwire.settings, Registry.load(), store)
                tripwire.check()
        else:
            yield Hub(settings, Registry.load(), store)


def plan_one(
    config: Path,
    tenant: str,
    name: str,
    target: str,
    *,
    who: str,
    given: Mapping[str, str],
    source: str,
    case_id: str,
    lease: float,
    as_json: bool,
) -> None:
    """What one action would do. Exit 1 when it would not be done."""
    from nightdesk.hub.plan import plan
    from nightdesk.sdk.targets import Target

    with troubles(as_json), a_hub(config, tenant, tripped=True) as hub:
        found = plan(
            hub,
            tenant,
            name,
            Target.parse(target),
            by=who,
            parameters=given,
            lease=timedelta(minutes=lease) if lease else None,
            source_instance=source,
            case_id=case_id,
        )
    if as_json:
        emit({"dry_run": True, **plain(found)})
    else:
        typer.echo("dry run: nothing was sent, nobody was asked")
        for line in planned_lines(found):
            typer.echo(visible(line))
    if found.stops:
        raise typer.Exit(1)


def planned_lines(one: "Planned") -> Iterator[str]:
    """A planned command as people read it."""
    where = f" to {one.instance} ({one.vendor})" if one.instance else ""
    with_ = ", ".join(f"{key}={value}" for key, value in (one.parameters or {}).items())
    yield f"{one.verb} {one.target}{where}, {one.risk}" + (f", {with_}" if with_ else "")
    facts = {
        "approved by": one.approval,
        "lease": f"{one.lease_seconds:g} s" if one.lease_seconds else "",
        "read back": one.read_back,
        "taken back by": one.undo,
        "done without": ", ".join(one.losses),
    }
    told = "; ".join(f"{name} {value}" for name, value in facts.items() if value)
    if told:
        yield f"  {told}"
    yield from (f"  stops here: {text}" for text in one.stops)
    yield from (f"  not known before: {text}" for text in one.unknown)

"""Commands on what belongs together: make several cases one, take one apart."""

from pathlib import Path
from typing import Annotated

import typer

from nightdesk.hub.cli.cases import As
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, troubles

__all__ = ["merge", "split"]

_DEFAULT = Path("nightdesk.yaml")
Why = Annotated[str, typer.Option("--reason", help="What the next person reads.")]


def merge(
    into: Annotated[str, typer.Argument(help="The case that stays.")],
    others: Annotated[list[str], typer.Argument(help="Cases whose alerts join it.")],
    tenant: TenantName,
    who: As,
    reason: Why,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Makes several cases one; its severity is the gravest of theirs, and it is decided again."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.regrouping import merge_cases

    with troubles(as_json), opened(config, tenant) as (_, store):
        stays = merge_cases(store, tenant, into, others, by=who, reason=reason)
    if as_json:
        emit({"tenant": tenant, "case_id": stays, "merged": others})
    else:
        typer.echo(f"{', '.join(others)} merged into {stays}; it is decided again at the hub's next turn")


def split(
    case_id: Annotated[str, typer.Argument()],
    alerts: Annotated[list[str], typer.Argument(help="Ids of the alerts that leave it (`cases show --json`).")],
    tenant: TenantName,
    who: As,
    reason: Why,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Takes alerts out into a case of their own; both are decided again, and are not merged by the machine any more."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.regrouping import split_case

    with troubles(as_json), opened(config, tenant) as (_, store):
        new = split_case(store, tenant, case_id, alerts, by=who, reason=reason)
    if as_json:
        emit({"tenant": tenant, "case_id": new, "split_from": case_id, "alerts": alerts})
    else:
        typer.echo(f"{new} is split from {case_id}; both are decided again at the hub's next turn")

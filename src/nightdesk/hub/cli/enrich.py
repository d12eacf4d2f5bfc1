"""Commands on what sources know: ask all of a tenant's about one thing, and sign what is known to be harmless."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles

__all__ = ["allow_app", "enrich"]

_DEFAULT = Path("nightdesk.yaml")

allow_app = typer.Typer(help="Signed lists of what is known to be harmless.", no_args_is_help=True)


def enrich(
    entity: Annotated[str, typer.Argument(help="KIND:VALUE, as cases name it: domain:bad.example.com, host:ws-0042.")],
    tenant: TenantName,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again, whatever is still known.")] = False,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Shows what each source of the tenant says of one thing, and how old that is; what is not known is asked."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.enrichment.answers import as_json as plain
    from nightdesk.hub.enrichment.asking import ask_all, entity_of
    from nightdesk.hub.enrichment.words import STATUS, line_of
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.context import utc_now

    with troubles(as_json):
        thing = entity_of(entity)
        with opened(config, tenant) as (settings, store):
            if not settings.tenants[tenant].enrichment.sources:
                fail(f"tenant {tenant} has no enrichment.sources in {config}: add one", code=2, as_json=as_json)
            asked = asyncio.run(ask_all(settings, Registry.load(), store, tenant, thing, fresh=fresh))
    now = utc_now()
    if as_json:
        emit(
            {
                "tenant": tenant,
                "entity": thing.key,
                "answers": [
                    {**plain(one), "age_seconds": round((now - one.fetched_at).total_seconds())}
                    for one in asked.answers
                ],
                "problems": asked.problems,
            }
        )
        return
    rows: list[tuple[Any, ...]] = [
        (
            one.source,
            STATUS[one.status],
            f"{max(0.0, (now - one.fetched_at).total_seconds()):.0f} s",
            " | ".join(map(line_of, one.facts)) or one.reason,
        )
        for one in asked.answers
    ]
    table(f"{thing.key} of {tenant}", ("source", "answer", "age", "what it says"), rows)
    for source, texts in asked.problems.items():
        for text in texts:
            typer.echo(f"{source}: {text}", err=True)


@allow_app.command("sign")
def _sign(
    file: Annotated[Path, typer.Argument()],
    signer: Annotated[str, typer.Option("--as", help="The signer's name in the configuration.")],
    key: Annotated[Path, typer.Option("--key", help="The signer's private key (PEM).")],
    as_json: Json = False,
) -> None:
    """Signs an allow-list; refuses one that is not valid. It counts once two persons have signed it."""
    from nightdesk.hub.enrichment.allow_list import read_list
    from nightdesk.hub.setup import sign_policy
    from nightdesk.sdk.context import utc_now

    with troubles(as_json):
        found = read_list(file)
        sign_policy(file, key, signer, at=utc_now())
    if as_json:
        emit({"name": found.name, "entries": len(found.entries), "signer": signer})
    else:
        typer.echo(f"{signer} signed {found.name}: {len(found.entries)} entries; two persons' signatures make it count")


@allow_app.command("check")
def _check(file: Annotated[Path, typer.Argument()], as_json: Json = False) -> None:
    """Says what is wrong with an allow-list, and which of its entries have expired."""
    from nightdesk.hub.enrichment.allow_list import read_list
    from nightdesk.sdk.context import utc_now

    with troubles(as_json):
        found = read_list(file)
    now = utc_now()
    rows = [
        {"entity": one.entity, "owner": one.owner, "expires": one.expires, "expired": one.expires <= now}
        for one in found.entries
    ]
    if as_json:
        emit({"name": found.name, "entries": rows})
        return
    shown = [
        (one.entity, one.owner, one.expires.isoformat(), "expired" if one.expires <= now else "")
        for one in found.entries
    ]
    table(found.name, ("entity", "owner", "until", ""), shown)

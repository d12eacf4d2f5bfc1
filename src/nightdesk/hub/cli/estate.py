"""Commands on vendors: what there is, and whether it works."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, emit, fail, plain, table, troubles

if TYPE_CHECKING:
    from nightdesk.hub.registry import Registry

__all__ = ["vendors_app"]

_DEFAULT = Path("nightdesk.yaml")
_MAX_SKEW = 120.0  # seconds; signatures and tokens stop working somewhere above

vendors_app = typer.Typer(help="The vendors there are, from their manifests alone.")


def _rows(registry: "Registry") -> list[dict[str, Any]]:
    from nightdesk.hub.quality import tier_of

    return [
        {
            "name": name,
            "title": manifest.title,
            "kind": manifest.kind,
            "tier": tier_of(registry.folders[name]),
            "proof": "simulated" if manifest.simulated else "verified",
            "roles": list(manifest.roles),
            "pulls": sorted(manifest.pulls),
            "receives": sorted(manifest.receives),
            "acts": sorted(manifest.acts),
            "writes_back": sorted(manifest.writes_back),
            "auth": list(manifest.auth),
        }
        for name, manifest in sorted(registry.manifests.items())
    ]


@vendors_app.callback(invoke_without_command=True)
def _vendors(context: typer.Context, as_json: Json = False) -> None:
    """Lists every vendor and what it can do."""
    if context.invoked_subcommand:
        return
    from nightdesk.hub.registry import Registry

    registry = Registry.load()
    rows = _rows(registry)
    if as_json:
        emit(rows)
    else:
        shown = [
            (row["name"], row["tier"], row["proof"], ", ".join(row["pulls"] + row["receives"]),
             ", ".join(row["acts"] + row["writes_back"]))
            for row in rows
        ]  # fmt: skip
        table("", ("vendor", "tier", "proof", "alerts", "actions"), shown)
    for name, why in registry.broken.items():
        typer.echo(f"left out: {name}: {why}", err=True)


@vendors_app.command("check")
def _check(
    name: Annotated[str, typer.Argument(help="A vendor or a connector's name; all when none is given.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Whose connectors.")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Does what normal operation does, at every bound connector, and says what would not work. Exit 1 if anything."""
    if not tenant:
        fail("--tenant is required: a tenant is always named", code=2, as_json=as_json)
    from dataclasses import replace

    from nightdesk.hub.bindings import Bindings
    from nightdesk.hub.config import load_config
    from nightdesk.hub.notices import sunset_warnings
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.context import utc_now
    from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem
    from nightdesk.sdk.ports import Health

    async def ask(bindings: Bindings, instance: str) -> Health:
        try:
            answer: Health = await bindings.connector(tenant, instance).check_health()
        except NightdeskError as error:
            return Health(ok=False, problems=(str(error),))
        skew = answer.clock_skew or 0.0
        if answer.ok and abs(skew) > _MAX_SKEW:
            problem = f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine"
            return replace(answer, ok=False, problems=(problem,))
        return answer

    async def all_of(bindings: Bindings, names: list[str]) -> list[Health]:
        try:
            return list(await asyncio.gather(*(ask(bindings, one) for one in names)))
        finally:
            await bindings.aclose()

    with troubles(as_json):
        registry = Registry.load()
        settings = load_config(config, registry)
        if tenant not in settings.tenants:
            raise ConfigError([Problem(str(config), "tenants", f"no tenant {tenant!r}")])
        instances = settings.tenants[tenant].instances
        names = [one for one, spec in instances.items() if name in {"", one, spec.manifest.vendor}]
        if not names:
            fail(f"{tenant} has no connector {name!r}; it has {', '.join(instances)}", code=2, as_json=as_json)
        answers = asyncio.run(all_of(Bindings(settings, registry), names))
    told = list(zip(names, answers, strict=True))
    endings = {one: list(sunset_warnings(instances[one].manifest, utc_now().date())) for one in names}
    if as_json:
        emit(
            [
                {"connector": one, "vendor": instances[one].manifest.vendor, **plain(found), "warnings": endings[one]}
                for one, found in told
            ]
        )
    else:
        shown = [
            (one, instances[one].manifest.vendor, "yes" if found.ok else "no", found.version, "; ".join(found.problems))
            for one, found in told
        ]
        table("", ("connector", "vendor", "works", "version", "problems"), shown)
        for text in (text for texts in endings.values() for text in texts):
            typer.echo(f"warning: {text}")
    if not all(found.ok for found in answers):
        raise typer.Exit(1)

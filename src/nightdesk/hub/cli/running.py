"""Commands that set up and run: init, config, policy, run, demo."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, emit, table, troubles

__all__ = ["config_app", "demo", "init", "policy_app", "run"]

_DEFAULT = Path("nightdesk.yaml")
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)
policy_app = typer.Typer(help="Policies: keys, signatures, checks.", no_args_is_help=True)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write; made when missing.")] = Path(),
    tenant: Annotated[str, typer.Option("--tenant", help="The first tenant's slug.")] = "",
    name: Annotated[str, typer.Option("--name", help="The first tenant's name.")] = "",
    as_json: Json = False,
) -> None:
    """Writes a new configuration: keys, a signer, a signed starter policy and a console token."""
    from nightdesk.hub.cli.output import fail
    from nightdesk.hub.setup import make_config
    from nightdesk.sdk.context import utc_now

    if not tenant:
        fail("--tenant is required: a tenant is always named", code=2, as_json=as_json)
    with troubles(as_json):
        config = make_config(folder, tenant, name or tenant, at=utc_now())
    if as_json:
        emit({"config": str(config), "secrets": str(folder / "secrets")})
        return
    typer.echo(f"wrote {config}, {folder / 'policies'} and {folder / 'secrets'} (back the secrets up)")
    typer.echo("next: bind a connector (`nightdesk vendors`), then `nightdesk config check` and `nightdesk run`")


@config_app.command("check")
def _config_check(config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Validates the file; contacts nobody. Exit 2 with every problem, each with file and key."""
    from nightdesk.hub.config import load_config
    from nightdesk.hub.registry import Registry

    with troubles(as_json):
        settings = load_config(config, Registry.load())
    tenants = {slug: sorted(tenant.instances) for slug, tenant in settings.tenants.items()}
    if as_json:
        emit({"ok": True, "tenants": tenants})
    else:
        table(
            f"{config} is in order",
            ("tenant", "connectors"),
            [(slug, ", ".join(names)) for slug, names in tenants.items()],
        )


@config_app.command("schema")
def _config_schema() -> None:
    """Prints the JSON Schema of the file."""
    from nightdesk.hub.config import config_schema

    emit(config_schema())


@policy_app.command("keygen")
def _keygen(
    signer: Annotated[str, typer.Argument(help="Who will sign with it.")],
    folder: Annotated[Path, typer.Option("--out")] = Path(),
    as_json: Json = False,
) -> None:
    """Makes a signer's key pair: NAME.pem for the signer alone, NAME.pub for the configuration."""
    from nightdesk.autonomy.signing import keygen
    from nightdesk.hub.setup import private_file

    with troubles(as_json):
        pair = keygen()
        private_file(folder / f"{signer}.pem", pair.private_pem)
        (folder / f"{signer}.pub").write_bytes(pair.public_pem)
    if as_json:
        emit({"signer": signer, "key_id": pair.key_id})
    else:
        typer.echo(f"{signer}: key {pair.key_id} in {folder / signer}.pem and .pub")


@policy_app.command("sign")
def _sign(
    policy: Annotated[Path, typer.Argument()],
    signer: Annotated[str, typer.Option("--as", help="The signer's name in the configuration.")],
    key: Annotated[Path, typer.Option("--key", help="The signer's private key (PEM).")],
    as_json: Json = False,
) -> None:
    """Signs a policy; refuses one that is not valid."""
    from nightdesk.autonomy.policy_file import read_policy
    from nightdesk.hub.setup import sign_policy
    from nightdesk.sdk.context import utc_now

    with troubles(as_json):
        found = read_policy(policy)
        sign_policy(policy, key, signer, at=utc_now())
    if as_json:
        emit({"policy_id": found.policy_id, "version": found.version, "sha256": found.sha256, "signer": signer})
    else:
        typer.echo(f"{signer} signed {found.policy_id} version {found.version} ({found.sha256[:12]})")


@policy_app.command("check")
def _policy_check(
    policy: Annotated[Path, typer.Argument()],
    config: Annotated[Path | None, typer.Option("--config", help="A configuration whose playbooks count.")] = None,
    as_json: Json = False,
) -> None:
    """Says everything that is wrong with a policy and the playbooks it starts; who signed is checked at the start."""
    from nightdesk.autonomy.playbooks.ruled import playbook_problems
    from nightdesk.autonomy.policy_file import read_policy
    from nightdesk.hub.cli.playbook import library_with
    from nightdesk.sdk.errors import ConfigError

    with troubles(as_json):
        found = read_policy(policy)
        if any(rule.then.playbook is not None for rule in found.rules):
            problems = playbook_problems(found, library_with(config), file=str(policy))
            if problems:
                raise ConfigError(problems)
    if as_json:
        emit(
            {
                "ok": True,
                "policy_id": found.policy_id,
                "version": found.version,
                "rules": [rule.id for rule in found.rules],
            }
        )
    else:
        typer.echo(f"{found.policy_id} version {found.version}: {len(found.rules)} rules, in order")


def run(config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Runs the hub: feeds, pipeline, actions, API and console, until Ctrl-C."""
    from nightdesk.hub.config import load_config
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.serving import run_hub
    from nightdesk.hub.store import Store

    with troubles(as_json):
        registry = Registry.load()
        settings = load_config(config, registry)
        for name, why in registry.broken.items():
            typer.echo(f"left out: {name}: {why}", err=True)
        store = Store.open(settings.store)
        try:
            if as_json:
                emit({"console": f"http://{settings.host}:{settings.port}/console/", "tenants": list(settings.tenants)})
            else:
                typer.echo(f"console: http://{settings.host}:{settings.port}/console/  (Ctrl-C stops)")
            asyncio.run(run_hub(settings, registry, store))
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
        finally:
            store.close()


def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Plain lines, no live view; for CI.")] = False,
    alerts: Annotated[int, typer.Option("--alerts", min=20, help="About how many alerts a night.")] = 200,
    folder: Annotated[Path | None, typer.Option("--folder", help="Keep configuration and store there.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Serve the console at the end, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """The main job, end to end, on simulated vendors: two nights with two EDRs, then a rule that earns its level.

    Exit 0 when all of it held.
    """
    from nightdesk.hub.demo.run import Demo

    with troubles(as_json):
        result = Demo(alerts=alerts, folder=folder, headless=headless or as_json, quiet=as_json, keep=keep).run()
    if as_json:
        emit(result)
    if not result["held"]:
        raise typer.Exit(1)

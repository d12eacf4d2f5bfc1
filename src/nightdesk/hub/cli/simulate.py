"""The command that runs vendors' simulators: one, or the whole estate with one story told to all."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import Json, emit, fail, table, troubles

if TYPE_CHECKING:
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.testing import Simulator

__all__ = ["simulate"]


def simulate(  # options of a command
    vendors: Annotated[list[str] | None, typer.Argument(help="Vendors; --all for every one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every vendor that can be simulated.")] = False,
    scenario: Annotated[Path | None, typer.Option("--scenario", help="A story (YAML) that all are told.")] = None,
    port: Annotated[int, typer.Option("--port", help="Of the first, the others follow; 0 takes free ones.")] = 0,
    faults: Annotated[Path | None, typer.Option("--faults", help="A fault plan (YAML) for each.")] = None,
    alerts: Annotated[int, typer.Option("--alerts", help="Raise this many alerts of the bundled night first.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write connectors for a configuration there.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", help="Stop by itself after this long; 0: never.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Runs vendors' simulators on loopback and prints the settings that reach them."""
    from datetime import timedelta

    from nightdesk.hub.registry import Registry
    from nightdesk.hub.scenario import bundled_scenario, read_scenario, tell
    from nightdesk.hub.story import night
    from nightdesk.sdk.context import utc_now
    from nightdesk.sdk.testing import FaultPlan, serve

    if everything == bool(vendors):
        fail("name vendors, or --all", code=2, as_json=as_json)
    with troubles(as_json), ExitStack() as stack:
        registry = Registry.load()
        wanted = vendors or [name for name, manifest in sorted(registry.manifests.items()) if manifest.remote]
        made: dict[str, Simulator] = {
            name: registry.simulator(name)(faults=FaultPlan.load(faults) if faults else FaultPlan()) for name in wanted
        }
        raising = frozenset(name for name in wanted if registry.manifest(name).feeds)
        if everything or scenario:
            tell(read_scenario(scenario) if scenario else bundled_scenario(), made, raising, utc_now())
        story = night(utc_now() - timedelta(hours=5), alerts=max(alerts, 1))
        rows = []
        for number, (name, simulator) in enumerate(made.items()):
            simulator.add_devices(story.devices if alerts else ())
            for alert in story.alerts[:alerts] if name in raising else ():
                simulator.add(alert)
            try:
                served = stack.enter_context(serve(simulator, port=port + number if port else 0))
            except OSError as error:
                fail(f"port {port + number}: {error.strerror}", as_json=as_json)
            rows.append(
                {"vendor": name, "base_url": served.base_url, "settings": _settings(simulator, served.base_url)}
            )
        if out is not None:
            _write(out, rows, registry)
        _show(rows, as_json=as_json)
        try:
            until = time.monotonic() + seconds
            while not seconds or time.monotonic() < until:
                time.sleep(0.2)
        except KeyboardInterrupt:
            typer.echo(f"{sum(len(simulator.seen) for simulator in made.values())} requests seen", err=True)


def _settings(simulator: "Simulator", base_url: str) -> dict[str, Any]:
    from nightdesk.sdk.secrets import Secret

    given = simulator.settings(base_url)
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in given.items()}


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit(rows[0] if len(rows) == 1 else rows)
        return
    for row in rows:
        typer.echo(f"{row['vendor']} simulated at {row['base_url']}")
        if len(rows) == 1:
            table("settings", ("key", "value"), list(row["settings"].items()))
    typer.echo("stop with Ctrl-C")


def _write(path: Path, rows: list[dict[str, Any]], registry: "Registry") -> None:
    """Connectors as ``nightdesk.yaml`` wants them, each secret in a file of its own beside it."""
    import yaml

    from nightdesk.hub.setup import private_file

    connectors = {}
    for row in rows:
        settings = dict(row["settings"])
        for name, spec in registry.manifest(row["vendor"]).settings.items():
            if spec.type == "secret" and name in settings:
                private_file(path.parent / "secrets" / f"{row['vendor']}.{name}", f"{settings[name]}\n".encode())
                settings[name] = f"file:secrets/{row['vendor']}.{name}"
        connectors[row["vendor"]] = {"vendor": row["vendor"], "settings": settings}
    path.write_text(yaml.safe_dump({"connectors": connectors}, sort_keys=False), encoding="utf-8")

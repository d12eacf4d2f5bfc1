"""Commands for plugin authors: a package to begin with, and what the quality scale says of one."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from nightdesk.hub.cli.output import Json, emit, fail, table, troubles

__all__ = ["plugin_app"]

plugin_app = typer.Typer(help="Write a plugin of your own.", no_args_is_help=True)


@plugin_app.command("new")
def _new(
    name: Annotated[str, typer.Argument(help="The vendor's slug: acme_edr.")],
    folder: Annotated[Path | None, typer.Option("--folder", help="Where; NAME-nightdesk without.")] = None,
    title: Annotated[str, typer.Option("--title", help="The vendor's name as people write it.")] = "",
    as_json: Json = False,
) -> None:
    """Writes a package that works at once: connector, simulator, mapping, fixtures, tests of an invented API."""
    from nightdesk.hub.authoring import new_plugin

    target = folder or Path(f"{name.replace('_', '-')}-nightdesk")
    with troubles(as_json):
        written = new_plugin(name, target, title=title)
    if as_json:
        emit({"folder": str(target), "files": [str(path.relative_to(target)) for path in written]})
        return
    typer.echo(f"{target}: {len(written)} files")
    typer.echo(
        f"next: nightdesk plugin check --path {target}; then make the simulator behave as your vendor's pages say"
    )


@plugin_app.command("check")
def _check(
    name: Annotated[str, typer.Argument(help="An installed vendor's slug; none with --path.")] = "",
    path: Annotated[Path | None, typer.Option("--path", help="The folder of a package that is not installed.")] = None,
    as_json: Json = False,
) -> None:
    """Proves what the connector claims, rule by rule, against its simulator. Exit 1 when a claim fails."""
    from nightdesk.hub.authoring import plugin_at
    from nightdesk.hub.grading import grade
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.errors import ConfigError, Problem
    from nightdesk.sdk.testing.subject import Ground

    if bool(name) == (path is not None):
        fail("name an installed vendor, or give --path", code=2, as_json=as_json)
    with troubles(as_json):
        extra = {"the plugin": plugin_at(path)} if path is not None else None
        bundled = set(Registry.load(strangers=False).manifests)
        registry = Registry.load(strangers=path is None, extra=extra)
        if path is not None and registry.broken:
            raise ConfigError([Problem(where, "", why) for where, why in registry.broken.items()])
        wanted = [name] if name else sorted(set(registry.manifests) - bundled)
        with Ground() as ground:
            found = [asyncio.run(grade(registry, one, ground)) for one in wanted]
    if as_json:
        emit(found)
    else:
        for one in found:
            rows = [(row.tier, row.rule, row.state, row.why) for row in one.rules]
            table(f"{one.vendor}: {one.tier}, {one.proof}", ("tier", "rule", "state", "why"), rows)
    if not found or any(one.tier == "none" or any(row.state == "failed" for row in one.rules) for one in found):
        raise typer.Exit(1)

"""The command that proves what connectors claim of themselves."""

import asyncio
from typing import Annotated

import typer

from nightdesk.hub.cli.output import Json, emit, table, troubles

__all__ = ["quality"]


def quality(
    vendors: Annotated[list[str] | None, typer.Argument(help="Vendors; all without.")] = None,
    all_rules: Annotated[bool, typer.Option("--rules", help="Every rule, not only what failed.")] = False,
    as_json: Json = False,
) -> None:
    """Proves each connector's claims against its simulator and says its tier. Exit 1 when a claim does not hold."""
    from rich.console import Console
    from rich.progress import Progress

    from nightdesk.hub.grading import Grade, grade
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.testing.subject import Ground

    with troubles(as_json):
        registry = Registry.load()
        wanted = vendors or sorted(registry.manifests)
        found: list[Grade] = []
        with Ground() as ground, Progress(console=Console(stderr=True), transient=True, disable=as_json) as shown:
            task = shown.add_task("proving", total=len(wanted))
            for name in wanted:
                shown.update(task, description=name)
                found.append(asyncio.run(grade(registry, name, ground)))
                shown.advance(task)
    failed = [(one.vendor, row) for one in found for row in one.rules if row.state == "failed"]
    if as_json:
        emit(found)
    else:
        rows = [
            (
                one.vendor,
                one.tier,
                one.proof,
                *(sum(row.state == state for row in one.rules) for state in ("proved", "claimed", "exempt", "todo")),
            )
            for one in found
        ]
        table("", ("vendor", "tier", "proof", "proved", "claimed", "exempt", "todo"), rows)
        if all_rules:
            lines = [(one.vendor, row.tier, row.rule, row.state, row.why) for one in found for row in one.rules]
            table("rules", ("vendor", "tier", "rule", "state", "why"), lines)
        if failed:
            table(
                "claims that do not hold",
                ("vendor", "rule", "why"),
                [(name, row.rule, row.why) for name, row in failed],
            )
    if failed:
        raise typer.Exit(1)

"""An evaluation for a person: reading the file, progress on standard error, tables and a drawn curve."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightdesk.autonomy.evaluation.curve import Curve
    from nightdesk.autonomy.evaluation.report import Settings

__all__ = ["evaluated", "print_report"]


def evaluated(file: Path, variant: str, settings: "Settings") -> "tuple[dict[str, Any], Curve]":
    """Reads and evaluates; what takes long is told on standard error. Raises ConfigError for a file that is wrong."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from nightdesk.autonomy.evaluation.ait_groups import Variant, read_groups
    from nightdesk.autonomy.evaluation.report import evaluate

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as shown:
        task = shown.add_task("reading", total=None)
        judged = read_groups(file, Variant(variant))

        def told(what: str, done: int, total: int) -> None:
            shown.update(task, description=what, completed=done, total=total)
            if not console.is_terminal:
                sys.stderr.write(f"{what}: {done}/{total}\n")

        return evaluate(judged, settings, told)


def print_report(document: Mapping[str, Any], curve: "Curve") -> None:
    """The tables of an evaluation."""
    import typer

    from nightdesk.autonomy.evaluation.curve import sparkline
    from nightdesk.hub.cli.output import table

    data, least = document["data"], document["worst_tenant"]
    typer.echo(
        f"{data['groups']} groups of {data['tenants']} tenants, {data['attacks']} of them attacks in"
        f" {data['attack_clusters']} clusters; {data['unclear_left_out']} unclear ones left out"
    )
    typer.echo(f"coverage {document['coverage']:.1%} (worst tenant {least['tenant']} {least['coverage']:.1%})")
    typer.echo(f"missed {document['missed']} attacks, {document['missed_steps']} of {document['attack_steps']} steps")
    for line in document["why"]:
        typer.echo(f"promised: {line}")
    table("", _COLUMNS, [_row(one) for one in document["per_tenant"]])
    other = "by_cluster" if "by_cluster" in document else "by_group"
    beside = [(other.replace("_", " "), document[other]), *((one["name"], one) for one in document["baselines"])]
    if "product_terms" in document:
        beside.insert(1, ("with the product's bet and caps", document["product_terms"]))
    rows = [(name, f"{one['coverage']:.1%}", one["missed"], one["missed_steps"]) for name, one in beside]
    table("beside", ("way of closing", "coverage", "missed", "missed steps"), rows)
    broken = document["violations"]
    if broken["resamplings"]:
        share = f"{broken['rate']:.1%} of {broken['resamplings']} draws of clusters"
        typer.echo(f"promise broken in {share} at the worst tenant; {document['delta']:.1%} are allowed")
    typer.echo(f"{curve.title}: {sparkline([share for _, share in curve.points])}")
    typer.echo(_ends(curve))


_COLUMNS = (
    "tenant", "coverage", "attacks", "missed", "missed steps", "n", "k", "bound", "needed", "ECE", "first escalation",
)  # fmt: skip


def _row(one: Mapping[str, Any]) -> Sequence[object]:
    first = one["first_escalation_s"]
    return (
        one["tenant"],
        f"{one['coverage']:.1%}",
        one["attacks"],
        one["missed"],
        ", ".join(one["missed_steps"]) or 0,
        one["n"],
        "-" if one["k"] is None else one["k"],
        f"{one['certified_bound']:.2%}" if one["certified"] else "none",
        one["more_attacks_needed"] or "-",
        "-" if one["ece"] is None else f"{one['ece']:.4f}",
        "-" if first["median"] is None else f"{first['median']:.0f} s, at most {first['longest']:.0f} s",
    )


def _ends(curve: "Curve") -> str:
    """Where the curve begins and ends, in words."""
    if not curve.points:
        return "no points"
    (start, low), (end, high) = curve.points[0], curve.points[-1]
    return f"{curve.x}: {start:g} ({low:.1%}) to {end:g} ({high:.1%})"

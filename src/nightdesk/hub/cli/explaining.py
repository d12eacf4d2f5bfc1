"""The command that tells a case's decision in words, and draws it."""

from pathlib import Path
from typing import Annotated

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, draw_into, emit, troubles, visible

__all__ = ["explain"]

_DEFAULT = Path("nightdesk.yaml")


def explain(
    case_id: Annotated[str, typer.Argument(help="The case.")],
    tenant: TenantName,
    decision_id: Annotated[str, typer.Option("--decision", help="Another than its newest.")] = "",
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw it into this file.")] = None,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Tells in a minute what happened, what was decided and why, what would have changed it, what can be undone."""
    from functools import cache

    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.record.explaining import explained
    from nightdesk.hub.registry import Registry

    with troubles(as_json), opened(config, tenant) as (settings, store):
        with store.read() as conn:
            normalizer = cache(Registry.load().normalizer)
            told = explained(conn, settings.tenants[tenant], case_id, decision_id, normalizer, store.clock())
        if svg is not None:
            from nightdesk.hub.console.decision_picture import draw_decision
            from nightdesk.hub.record.drawing import svg as drawn

            draw_into(svg, drawn(draw_decision(told.decision, told.case.alerts, told.actions)))
    if as_json:
        emit({
            "tenant": tenant, "case_id": told.decision.case_id, "decision_id": told.decision.decision_id,
            "outcome": told.decision.outcome, "verdict": told.decision.verdict, "reason": told.decision.reason_code,
            "told": [{"heading": one.heading, "sentences": one.sentences} for one in told.paragraphs],
            "svg": str(svg) if svg is not None else None,
        })  # fmt: skip
        return
    typer.echo(f"{told.decision.case_id}  decision {told.decision.decision_id}  {visible(told.case.title)}")
    for one in told.paragraphs:
        typer.secho(f"\n{one.heading}", bold=True)
        for sentence in one.sentences:
            typer.echo(f"  {visible(sentence)}")

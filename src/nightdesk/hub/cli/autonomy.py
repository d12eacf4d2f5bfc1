"""Commands about what the machine may do alone, and how good it is at it."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightdesk.hub.cli import oversight, training
from nightdesk.hub.cli.output import Json, draw_into, emit, fail, troubles

if TYPE_CHECKING:
    from nightdesk.autonomy.evaluation.report import Settings

__all__ = ["autonomy_app"]

autonomy_app = typer.Typer(help="What the machine may do alone, and how good it is at it.", no_args_is_help=True)
oversight.register(autonomy_app)
training.register(autonomy_app)


class _Format(StrEnum):
    AIT_GROUPS = "ait-groups"


class _Protocol(StrEnum):
    LOTO = "loto"
    STREAM = "stream"


class _Variant(StrEnum):
    EASY = "easy"
    ALL = "all"


class _Unit(StrEnum):
    GROUP = "group"
    CLUSTER = "cluster"


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@autonomy_app.command("evaluate")
def evaluate(
    file: Annotated[Path, typer.Argument(help="Judged groups of at least two tenants.")],
    form: Annotated[_Format, typer.Option("--format", help="What the file is.")] = _Format.AIT_GROUPS,
    alpha: Annotated[float, typer.Option("--alpha", help="The miss rate that must hold.")] = 0.01,
    delta: Annotated[float, typer.Option("--delta", help="With what chance it may fail to.")] = 0.05,
    protocol: Annotated[
        _Protocol, typer.Option("--protocol", help="loto: a threshold alone; stream: in time, with rights earned.")
    ] = _Protocol.LOTO,
    variant: Annotated[
        _Variant, typer.Option("--variant", help="easy leaves out the exfiltration that looks like noise elsewhere.")
    ] = _Variant.ALL,
    unit: Annotated[_Unit, typer.Option("--unit", help="What counts as one attack.")] = _Unit.GROUP,
    label_delay: Annotated[str, typer.Option("--label-delay", help="Until a person has judged, such as 4h.")] = "4h",
    qa: Annotated[float, typer.Option("--qa", min=0.0, max=1.0, help="Share of closures that is judged.")] = 0.05,
    w0: Annotated[int, typer.Option("--w0", min=0, help="Verdicts that the fleet may lend a rule.")] = 250,
    resamplings: Annotated[int, typer.Option("--resamplings", min=0, help="Draws that test the promise.")] = 1_000,
    picture: Annotated[Path | None, typer.Option("--svg", help="Also draw the coverage curve there.")] = None,
    as_json: Json = False,
) -> None:
    """Measures the autonomy on judged groups, each tenant held out in turn. Nothing certified closes nothing.

    Exit 0 also when nothing could be certified: the answer says how many attacks are missing. 2: the file or an option
    is wrong.
    """
    from nightdesk.autonomy.evaluation.curve import svg
    from nightdesk.hub.cli.evaluating import evaluated, print_report

    delay = _duration(label_delay, as_json)
    if picture is not None and not picture.parent.is_dir():
        fail(f"--svg {picture}: cannot be written, there is no folder {picture.parent}", code=2, as_json=as_json)
    del form
    with troubles(as_json):
        settings = _settings(protocol, unit, alpha, delta, resamplings, delay, qa, w0)
        document, curve = evaluated(file, variant.value, settings)
        if picture is not None:
            draw_into(picture, svg(curve))
    if as_json:
        emit({"file": str(file), "format": _Format.AIT_GROUPS, "variant": variant, **document})
    else:
        print_report(document, curve)


def _settings(
    protocol: _Protocol, unit: _Unit, alpha: float, delta: float, resamplings: int, delay: float, qa: float, w0: int
) -> "Settings":
    from dataclasses import replace

    from nightdesk.autonomy.evaluation.gate import SIMPLE, Gate
    from nightdesk.autonomy.evaluation.report import Protocol, Settings, UnitKind

    gate = Gate(replace(SIMPLE, fleet_verdicts=w0), delay, qa)
    return Settings(Protocol(protocol.value), UnitKind(unit.value), alpha, delta, resamplings, gate)


def _duration(text: str, as_json: bool) -> float:
    """Seconds of a span such as 90s, 30m, 4h, 1d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        fail(
            f"--label-delay {text!r} is no span of time; give a number with s, m, h or d, such as 4h",
            code=2,
            as_json=as_json,
        )
    return float(found[1]) * _SECONDS[found[2]]

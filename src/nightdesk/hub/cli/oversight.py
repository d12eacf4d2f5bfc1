"""Commands over levels of autonomy: how far each rule is, judging blind, raising by two, withdrawing by one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, draw_into, emit, table, troubles

if TYPE_CHECKING:
    from nightdesk.autonomy.levels.units import Unit
    from nightdesk.hub.oversight.office import Office
    from nightdesk.hub.oversight.picture import Picture, UnitPicture
    from nightdesk.hub.oversight.queue import Blind

__all__ = ["canary_app", "register"]

_DEFAULT = Path("nightdesk.yaml")
_LEVELS = ("off", "shadow", "recommend", "auto-close", "auto-contain")
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 20
Who = Annotated[str, typer.Option("--as", help="Your credential's name; it is audited.")]
RuleName = Annotated[str, typer.Argument(metavar="RULE", help="PRODUCT/RULE@VERSION, as `autonomy status` shows it.")]
Decides = Annotated[
    str, typer.Option("--class", help="close, contain-host, contain-identity or block-indicator: what is decided.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is what the next person reads.")]

canary_app = typer.Typer(help="Known attacks planted to see whether they are closed.", no_args_is_help=True)


def register(group: typer.Typer) -> None:
    """Adds the commands to ``nightdesk autonomy``."""
    for command in (status, queue, judge, promote, agree, withdraw):
        group.command(command.__name__)(command)
    group.add_typer(canary_app, name="canary")


def status(
    tenant: TenantName,
    config: ConfigFile = _DEFAULT,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw the coverage by day there.")] = None,
    as_json: Json = False,
) -> None:
    """How far each rule is: level, evidence, what is missing to the next one in numbers, samples and canaries."""
    from nightdesk.autonomy.evaluation.curve import svg as drawn
    from nightdesk.hub.oversight.picture import picture

    with troubles(as_json), _office(config, tenant) as office:
        found = picture(office, tenant)
        if svg is not None:
            draw_into(svg, drawn(found.curve))
    if as_json:
        emit(found.to_json())
        return
    _draw(found)


def queue(tenant: TenantName, who: Who, limit: int = 20, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """What waits for you to be judged, without a word of what the machine thinks."""
    from nightdesk.hub.oversight.queue import queue as waiting

    with troubles(as_json), _office(config, tenant) as office:
        items = waiting(office, tenant, by=office.principal(tenant, who), limit=limit)
    if as_json:
        emit({"tenant": tenant, "items": [_shown(one) for one in items]})
        return
    table(
        f"{len(items)} to judge; `nightdesk autonomy judge ITEM --verdict …` for each",
        ("item", "waits since", "title", "severity", "alerts", "about"),
        [
            (one.item_id, one.drawn_at.isoformat(timespec="minutes"), one.title, one.severity_id, len(one.alerts),
             ", ".join(one.entities[:4]))
            for one in items
        ],
    )  # fmt: skip


def judge(
    tenant: TenantName,
    who: Who,
    verdict: Annotated[
        str,
        typer.Option(help="true-positive, likely-true-positive, benign-positive, likely-false-positive, "
                          "false-positive, undetermined, duplicate or test."),
    ],
    about: Annotated[str, typer.Argument(metavar="ITEM", help="An item of the queue, or a case.")],
    seen: Annotated[bool, typer.Option("--seen", help="You knew the machine's verdict: it is not blind then.")] = False,
    comment: str = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Takes your verdict. An attack in a closed case opens that case again at once."""
    from nightdesk.hub.oversight.judging import judge as take

    with troubles(as_json), _office(config, tenant) as office:
        by = office.principal(tenant, who)
        done = take(office, tenant, by=by, about=about, verdict=verdict, seen=seen, comment=comment)
    if as_json:
        emit({
            "labels": [{"label_id": one.label_id, "rule": one.rule, "state": one.state, "blind": one.blind}
                       for one in done.labels],
            "reopened": list(done.reopened),
        })  # fmt: skip
        return
    typer.echo(f"noted: {verdict} for {len(done.labels)} rules, {done.labels[0].state}")
    for case_id in done.reopened:
        typer.echo(f"open again: {case_id}")


def promote(
    rule: RuleName,
    tenant: TenantName,
    who: Who,
    reason: Reason,
    to: Annotated[str, typer.Option("--to", help="auto-close, or auto-contain.")] = "auto-close",
    decides: Decides = "close",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Asks to raise a rule. Another person agrees; one of the two is an admin of the tenant."""
    from nightdesk.hub.oversight.raising import promote as ask

    with troubles(as_json), _office(config, tenant) as office:
        unit = _unit(tenant, rule, decides)
        done = ask(office, unit, _level(to), by=office.principal(tenant, who), reason=reason)
    _told(done.standing.to_json(), as_json, f"asked: {unit} to {to}. It stays as it is until another person agrees.")


def agree(
    rule: RuleName,
    tenant: TenantName,
    who: Who,
    reason: Reason,
    decides: Decides = "close",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Raises a rule that another person asked to raise, on the evidence as it is now."""
    from nightdesk.hub.oversight.raising import agree as confirm

    with troubles(as_json), _office(config, tenant) as office:
        unit = _unit(tenant, rule, decides)
        done = confirm(office, unit, by=office.principal(tenant, who), reason=reason)
    _told(done.standing.to_json(), as_json, f"raised: {unit} is at {done.standing.level.word}")


def withdraw(
    rule: RuleName,
    tenant: TenantName,
    who: Who,
    reason: Reason,
    to: Annotated[str, typer.Option("--to", help="off, shadow or recommend.")] = "recommend",
    decides: Decides = "close",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Lowers a rule at once; what it closed since its last clean check is open again. One person is enough."""
    from nightdesk.hub.oversight.raising import withdraw as lower

    with troubles(as_json), _office(config, tenant) as office:
        unit = _unit(tenant, rule, decides)
        done = lower(office, unit, _level(to), by=office.principal(tenant, who), reason=reason)
    if as_json:
        emit({"standing": done.standing.to_json(), "reopened": list(done.reopened)})
        return
    typer.echo(f"withdrawn: {unit} is at {done.standing.level.word}; {len(done.reopened)} cases are open again")


@canary_app.command("plant")
def plant(
    tenant: TenantName,
    who: Who,
    connector: Annotated[str, typer.Option(help="The connector whose alert it looks like.")],
    origin: Annotated[str, typer.Option(help="The attack that it is made from: an incident, a drill.")],
    payload: Annotated[Path, typer.Argument(help="The alert as the product sends it.", exists=True, dir_okay=False)],
    change: Annotated[
        list[str] | None, typer.Option("--change", help="OLD=NEW: a text to exchange, its id at least; repeat it.")
    ] = None,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Sends a known attack in as an alert. Nothing that is decided of it leaves for a vendor."""
    from nightdesk.hub.oversight.planting import mutated
    from nightdesk.hub.oversight.planting import plant as send
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.errors import PolicyError

    with troubles(as_json), _office(config, tenant) as office:
        changes = dict(one.partition("=")[::2] for one in change or ())
        if not all("=" in one for one in change or ()):
            raise PolicyError("--change takes OLD=NEW")
        done = send(
            office,
            Registry.load().normalizer(),
            tenant,
            by=office.principal(tenant, who),
            connector=connector,
            payload=mutated(payload.read_bytes(), changes),
            origin=origin,
        )
    said = {"canary_id": done.canary.canary_id, "family": done.canary.family, "title": done.title}
    _told(said, as_json, f"planted: {done.canary.canary_id} ({done.canary.family})")


@canary_app.command("reveal")
def reveal(
    canary_id: Annotated[str, typer.Argument(metavar="CANARY")],
    tenant: TenantName,
    who: Who,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Tells which case a canary was, once something was decided of it."""
    from nightdesk.hub.oversight.planting import reveal as tell

    with troubles(as_json), _office(config, tenant) as office:
        told = tell(office, tenant, canary_id, by=office.principal(tenant, who))
    _told(told.to_json(), as_json, f"{told.canary_id}: {told.state}, case {told.case_id} ({told.outcome})")


@canary_app.command("list")
def listed(tenant: TenantName, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Every canary with what became of it; which case it was stays hidden until it is revealed."""
    from nightdesk.hub.store import canaries

    with troubles(as_json), _office(config, tenant) as office, office.store.read() as conn:
        found = canaries.listed(conn, tenant)
    rows = [
        (one.canary_id, one.family, one.state, one.planted_at.isoformat(timespec="minutes"), one.planted_by,
         one.case_id if one.revealed_at else "")
        for one in found
    ]  # fmt: skip
    names = ("canary", "family", "state", "planted at", "by", "case")
    if as_json:
        emit({"canaries": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table("canaries", names, rows)


@contextmanager
def _office(config: Path, tenant: str) -> "Iterator[Office]":
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.learning.knowledge import Knowing
    from nightdesk.hub.oversight.office import Office
    from nightdesk.sdk.context import utc_now

    with opened(config, tenant) as (settings, store):
        yield Office.of(store, settings.tenants, utc_now, knowledge=Knowing(utc_now))


def _unit(tenant: str, rule: str, decides: str) -> "Unit":
    from nightdesk.autonomy.levels.units import Unit

    return Unit.parse(tenant, rule, decides)


def _level(word: str) -> Any:
    from nightdesk.autonomy.levels.standing import Level
    from nightdesk.sdk.errors import PolicyError

    if word not in _LEVELS:
        raise PolicyError(f"{word!r} is no level; there are {', '.join(_LEVELS)}")
    return Level(_LEVELS.index(word))


def _told(document: Any, as_json: bool, text: str) -> None:
    if as_json:
        emit(document)
    else:
        typer.echo(text)


def _shown(one: "Blind") -> dict[str, Any]:
    return {
        "item_id": one.item_id,
        "drawn_at": one.drawn_at,
        "title": one.title,
        "severity_id": one.severity_id,
        "first_seen": one.first_seen,
        "last_seen": one.last_seen,
        "entities": list(one.entities),
        "alerts": [
            {"title": alert.title, "rule": alert.rule_name or alert.rule_id, "product": alert.product,
             "techniques": list(alert.techniques), "description": alert.description}
            for alert in one.alerts
        ],
    }  # fmt: skip


def _draw(found: "Picture") -> None:
    """The picture on a terminal."""
    from nightdesk.autonomy.evaluation.curve import sparkline

    rows = [_line(one) for one in found.units]
    columns = ("rule", "class", "level", "to the next", "evidence", "14 days", "still missing")
    table(f"{found.tenant}: levels", columns, rows)
    pile, canaries = found.pile, found.canaries
    closed = sum(found.cases.values()) and found.cases.get("closed", 0)
    facts = [
        ("cases closed", f"{closed} of {sum(found.cases.values())}", _bar(found.coverage)),
        ("closed by day, of 30", sparkline([share for _, share in found.curve.points]), ""),
        ("closed and looked at", f"{pile.judged} of {pile.closed}, {pile.missed} attacks", ""),
        ("attacks among closed", f"estimate {pile.rate:.3%}, at most {pile.bound:.2%} (95 %)", ""),
        ("canaries", f"{canaries.caught} caught, {canaries.missed} missed: misses at most {canaries.bound:.1%}", ""),
        ("canaries to 5 % and 1 %", f"{canaries.to_five} and {canaries.to_one} more, none missed", ""),
        ("rules without a canary this week", str(len(found.canaries_due)), ""),
        ("waits to be judged", str(found.waiting), ""),
        ("agreement of two persons (kappa)", "none yet" if found.kappa is None else f"{found.kappa:.2f}", ""),
        *((f"known answers of {one.analyst}", f"{one.right} of {one.known}", "counts" if one.weight else "counts not")
          for one in found.analysts),
    ]  # fmt: skip
    table("", ("", "", ""), facts)


def _line(one: "UnitPicture") -> Sequence[str]:
    standing, bounds = one.look.standing, one.look.bounds
    held = f" (held by {bounds.held_by})" if bounds.level < standing.level else ""
    lacking = list(one.lacking)
    if standing.wish is not None:
        lacking = [f"{standing.wish.by} asked for {standing.wish.level.word}: another person agrees", *lacking]
    elif one.asks and not lacking:
        lacking = ["two persons: `autonomy promote`"]
    progress = min((ask.share for ask in one.asks), default=1.0)
    return (
        standing.unit.rule,
        standing.unit.decides,
        f"{int(bounds.level)} {bounds.level.word}{held}",
        _bar(progress),
        f"e {one.look.proof.earned:.3g} of 20",
        _spark(one.daily),
        "; ".join(lacking) or ("at the top" if not one.next_level else ""),
    )


def _bar(share: float) -> str:
    full = round(max(0.0, min(1.0, share)) * _WIDTH)
    return "█" * full + "░" * (_WIDTH - full)


def _spark(counts: Sequence[int]) -> str:
    most = max(counts, default=0)
    return "".join(_BLOCKS[round((len(_BLOCKS) - 1) * one / most)] if most else _BLOCKS[0] for one in counts)

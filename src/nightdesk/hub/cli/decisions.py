"""Commands on the decision record: what was decided, whole; made again bit for bit; and whether it was changed."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles, visible

if TYPE_CHECKING:
    from nightdesk.hub.record.replaying import Replayed

__all__ = ["decisions_app"]

_DEFAULT = Path("nightdesk.yaml")
_TOLD = 20
decisions_app = typer.Typer(help="The record of every decision: read, made again, checked.", no_args_is_help=True)
Last = Annotated[str, typer.Option("--last", help="How far back: 90m, 12h, 30d, 4w; everything without.")]
PolicyFiles = Annotated[
    list[Path] | None,
    typer.Option("--policy", help="A policy of then, for decisions from before texts were kept; may be repeated."),
]


@decisions_app.command("list")
def _list(
    tenant: TenantName,
    case_id: Annotated[str, typer.Option("--case", help="Of that case alone.")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="Such as close or escalate.")] = "",
    last: Last = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10000)] = 50,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Lists decisions, newest first, as the columns of the record have them."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.record.listing import listed

    with troubles(as_json), opened(config, tenant) as (_, store):
        since = _since(last, store.clock())
        with store.read() as conn:
            rows = listed(conn, tenant, case_id=case_id, outcome=outcome, since=since, limit=limit)
    if as_json:
        emit(rows)
        return
    table(f"decisions of {tenant}", ("no", "decision", "at", "outcome", "hash"), [
        (one.seq, one.decision_id, one.decided_at, one.outcome, one.hash[:16]) for one in rows
    ])  # fmt: skip


@decisions_app.command("show")
def _show(
    decision_id: Annotated[str, typer.Argument(help="As `decisions list` names it.")],
    tenant: TenantName,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Shows one record whole: inputs, versions, every check, adviser, outcome, actions, its place in the chain."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.record.replaying import stored
    from nightdesk.hub.record.sections import as_json_document, sections
    from nightdesk.hub.store.actions import actions_of_case
    from nightdesk.hub.store.links import standing

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        found = stored(conn, tenant, decision_id)
        if found.decision is None:
            fail(f"{found.problem}; `nightdesk decisions verify` says what else", as_json=as_json)
        # What was done for a case that was merged away stands in the case that it is now.
        cases = dict.fromkeys((found.case_id, standing(conn, tenant, found.case_id)))
        actions = [one for name in cases for one in actions_of_case(conn, tenant, name)]
    made = [one for one in actions if one.decision_id == decision_id]
    if as_json:
        emit(as_json_document(found, made))
        return
    for section in sections(found, made):
        typer.secho(section.heading, bold=True)
        for name, value in section.rows:
            typer.echo(f"  {visible(name)}: {visible(value)}" if name else f"  {visible(value)}")


@decisions_app.command("replay")
def _replay(
    tenant: TenantName,
    decision_id: Annotated[str, typer.Argument(help="One decision; or say --all.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every decision.")] = False,
    last: Last = "",
    policy: PolicyFiles = None,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Makes decisions again from the record, the alerts and the policy of then, and compares every byte.

    Exit 1 when one comes out otherwise, was changed, or cannot be made again. Writes and sends nothing.
    """
    if bool(decision_id) == everything or (last and not everything):
        fail("name one decision, or say --all (and --last 7d for a part)", code=2, as_json=as_json)
    with troubles(as_json):
        good = _replayed(config, tenant, decision_id, last, policy or [], as_json)
    if not good:
        raise typer.Exit(1)


def _replayed(config: Path, tenant: str, only: str, last: str, files: list[Path], as_json: bool) -> bool:
    from collections import Counter
    from functools import cache

    from rich.console import Console
    from rich.progress import Progress

    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.record.replaying import Result, how_many, replay_all
    from nightdesk.hub.record.then import PoliciesThen
    from nightdesk.hub.registry import Registry

    counts: Counter[str] = Counter()
    bad: list[Replayed] = []
    remarks: Counter[str] = Counter()
    one: Replayed | None = None
    with opened(config, tenant) as (settings, store):
        since = _since(last, store.clock())
        policies = PoliciesThen(settings.tenants[tenant], files)
        normalizer = cache(Registry.load().normalizer)
        with Progress(console=Console(stderr=True), transient=True, disable=as_json or bool(only)) as progress:
            work = progress.add_task(f"replaying {tenant}", total=1 if only else how_many(store, tenant, since))
            for one in replay_all(store, settings.tenants[tenant], policies, normalizer, since=since, only=only):
                counts[one.result.value] += 1
                if one.result is not Result.PERSON:
                    remarks.update(one.remarks)
                if not one.good:
                    bad.append(one)
                progress.advance(work)
    if as_json:
        emit(one if only else {
            "tenant": tenant, "since": since, "decisions": counts.total(), "good": not bad,
            "results": {result.value: counts[result.value] for result in Result},
            "not_good": bad, "remarks": dict(remarks),
        })  # fmt: skip
        return not bad
    if only and one is not None:
        for line in _one_line(one):
            typer.echo(visible(line))
        return not bad
    for found in bad[:_TOLD]:
        for line in _one_line(found):
            typer.secho(visible(line), fg="red")
    if len(bad) > _TOLD:
        typer.secho(f"and {len(bad) - _TOLD} more (--json lists all)", fg="red")
    for line in _summary(tenant, counts, remarks):
        typer.echo(visible(line))
    return not bad


def _one_line(one: "Replayed") -> Iterator[str]:
    yield f"{one.decision_id} (no {one.seq}): {_WORDS[one.result.value]}"
    if one.problem:
        yield f"  {one.problem}"
    if one.difference is not None:
        yield f"  first difference at {one.difference.place}"
        yield f"  - recorded: {one.difference.recorded}"
        yield f"  + made:     {one.difference.made}"
    yield from (f"  {text}" for text in one.remarks)


_WORDS = {
    "same": "comes out the same, bit for bit",
    "differs": "comes out OTHERWISE",
    "changed": "was CHANGED since it was recorded",
    "impossible": "CANNOT be made again",
    "person": "was made by a person; there is nothing to replay",
}


def _summary(tenant: str, counts: Any, remarks: Any) -> Iterable[str]:
    told = {
        "same": "the same bit for bit", "differs": "otherwise", "changed": "changed",
        "impossible": "cannot be made again", "person": "by people, not replayed",
    }  # fmt: skip
    said = ", ".join(f"{counts[name]} {words}" for name, words in told.items() if counts[name])
    yield f"{tenant}: {counts.total()} decisions: {said or 'none'}"
    yield from (f"  {text} ({number} decisions)" for text, number in remarks.most_common())


@decisions_app.command("verify")
def _verify(
    tenant: TenantName,
    noted: Annotated[str, typer.Option("--noted", help="A head of earlier, NUMBER:HASH: still in the chain?")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Checks the hash chain, that columns agree with it, and what is kept beside it; prints the head to note down."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.record.listing import verified

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        found = verified(conn, tenant, noted)
    if as_json:
        emit({"tenant": tenant, "good": not found.problems, **found.to_json()})
    else:
        for text in found.problems:
            typer.secho(visible(text), fg="red")
        typer.echo(f"{tenant}: {found.head.seq} decisions, {len(found.problems)} problems")
        typer.echo(f"head {found.head.seq}:{found.head.hash}")
        typer.echo("  note it where this database's keeper cannot write; `--noted` compares it later")
    if found.problems:
        raise typer.Exit(1)


def _since(last: str, now: Any) -> Any:
    from nightdesk.hub.policies.lasting import lasting

    return now - lasting(last) if last else None

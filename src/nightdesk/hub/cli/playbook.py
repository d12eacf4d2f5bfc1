"""Commands on playbooks: check them, look at them, run them, try them."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.dryrun import a_hub, planned_lines
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, plain, table, troubles, visible

if TYPE_CHECKING:
    from nightdesk.autonomy.playbooks.library import Library
    from nightdesk.autonomy.playbooks.model import Playbook
    from nightdesk.autonomy.playbooks.run import Run
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.playbooks.preview import PlannedStep

__all__ = ["library_with", "playbook_app"]

_DEFAULT = Path("nightdesk.yaml")
playbook_app = typer.Typer(help="Playbooks (CACAO 2.0) of this project's verbs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A playbook's id or short name, or a file.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Such as run-000001.")]
As = Annotated[str, typer.Option("--as", help="Who you are; it stands in the audit.")]
Wait = Annotated[float, typer.Option("--wait", min=0, max=86400, help="Seconds to carry it on here.")]
Own = Annotated[Path | None, typer.Option("--config", help="A configuration whose playbooks count as well.")]


@playbook_app.command("validate")
def _validate(
    files: Annotated[list[Path], typer.Argument(help="Files; a folder stands for its *.json.")],
    as_json: Json = False,
) -> None:
    """Says everything that is wrong with playbooks, each with file and JSON pointer. Exit 2 when something is."""
    from nightdesk.autonomy.playbooks.library import Library, bundled, read_files
    from nightdesk.autonomy.playbooks.soundness import notes_on
    from nightdesk.hub.playbooks.words import vendor_names
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.errors import ConfigError

    with troubles(as_json):
        given = read_files(files)
        both = Library({**bundled().playbooks, **given.playbooks}, {**bundled().files, **given.files})
        ours = set(given.files.values())
        problems = [one for one in both.problems(unnamed=vendor_names(Registry.load())) if one.file in ours]
        if problems:
            raise ConfigError(problems)
    rows = [_summary(book, given.files[key]) for key, book in given.playbooks.items()]
    if as_json:
        emit({"ok": True, "playbooks": rows})
        return
    for row, book in zip(rows, given.playbooks.values(), strict=True):
        typer.echo(f"{row['file']}: {visible(str(row['name']))}: in order")
        for note in notes_on(book):
            typer.echo(f"  note: {note.pointer}: {note.message}")
        verbs = [(one["verb"], one["risk"], one["undo"], one["role"]) for one in row["verbs"]]
        table("", ("verb", "risk", "taken back by", "role"), verbs)


def _summary(book: "Playbook", file: str) -> dict[str, Any]:
    from nightdesk.autonomy.playbooks.outlook import outlook

    verbs = {order.verb.name: order.verb for line in outlook(book, {}) for order in line.orders}
    return {
        "file": file,
        "id": book.id,
        "name": book.name,
        "steps": len(book.workflow),
        "verbs": [
            {"verb": one.name, "risk": f"R{int(one.risk)}", "undo": one.inverse or one.no_inverse, "role": one.role}
            for one in verbs.values()
        ],
    }


def library_with(config: Path | None) -> "Library":
    """The bundled playbooks, and those of a configuration."""
    from nightdesk.autonomy.playbooks.library import bundled

    if config is None:
        return bundled()
    from nightdesk.hub.config import load_config
    from nightdesk.hub.playbooks.service import library_of
    from nightdesk.hub.registry import Registry

    return library_of(load_config(config, Registry.load()))


def _found(library: "Library", name: str) -> "tuple[Playbook, Library]":
    """The playbook of that name, or the one in that file, and the library with it."""
    from nightdesk.autonomy.playbooks.library import Library, read_files

    path = Path(name)
    if path.suffix != ".json":
        return library.find(name), library
    (book,) = read_files([path]).playbooks.values()
    return book, Library({**library.playbooks, book.id: book}, {**library.files, book.id: name})


@playbook_app.command("list")
def _list(config: Own = None, as_json: Json = False) -> None:
    """Every playbook: what it is for, the techniques it answers, the roles it acts through."""
    with troubles(as_json):
        library = library_with(config)
    rows = [(library.name_of(key), book.name, book.header) for key, book in library.playbooks.items()]
    if as_json:
        emit([{"name": name, "title": title, **header.model_dump(mode="json")} for name, title, header in rows])
        return
    table("", ("name", "what", "techniques", "needs", "uses if bound"), [
        (name, title, ", ".join(head.techniques), ", ".join(head.roles.required), ", ".join(head.roles.optional))
        for name, title, head in rows
    ])  # fmt: skip


@playbook_app.command("show")
def _show(name: Name, config: Own = None, as_json: Json = False) -> None:
    """One playbook as a tree: branch within branch, each command with its verb, risk and way back."""
    from nightdesk.autonomy.playbooks.content import called_by, content_of
    from nightdesk.autonomy.playbooks.outlook import outlook

    with troubles(as_json):
        book, library = _found(library_with(config), name)
        called = called_by(book, library.get)
        lines, digest = list(outlook(book, called)), content_of(book, called)
    if as_json:
        emit({"sha256": digest, "playbook": book.model_dump(mode="json", exclude_defaults=True), "outlook": lines})
        return
    head = book.header
    typer.echo(f"{visible(book.name)}\n  {visible(head.purpose)}")
    typer.echo(f"  id {book.id}\n  sha256 {digest} (what a signed rule names to start it)")
    for variable, kind in head.inputs.items():
        one = book.playbook_variables[variable]
        needed = "needed" if one.value is None else f"default {one.value!r}"
        typer.echo(f"  {variable} ({kind}, {needed}): {visible(one.description)}")
    for line in lines:
        typer.echo(_line(line.depth, line.kind, line.name, line.when, line.text))
        for order in line.orders:
            verb = order.verb
            leased = f", for {order.lease.total_seconds() / 3600:g} h" if order.lease else ""
            back = f"taken back by {verb.inverse}" if verb.inverse else f"not taken back: {verb.no_inverse}"
            typer.echo(
                f"{'  ' * (line.depth + 3)}{verb.name} {visible(order.value)}{leased} (R{int(verb.risk)}; {back})"
            )


def _line(depth: int, kind: str, name: str, when: str, text: str) -> str:
    told = f"[{visible(when)}] " if when else ""
    said = f": {visible(text)}" if text else ""
    return f"{'  ' * (depth + 1)}- {told}{visible(name)} ({kind}){said}"


def _given(variables: list[str] | None, as_json: bool) -> dict[str, str]:
    given: dict[str, str] = {}
    for text in variables or []:
        name, sign, value = text.partition("=")
        if not sign:
            fail(f"--var {text!r}: write NAME=VALUE", code=2, as_json=as_json)
        # People need not type the underscores that CACAO asks for.
        given[name if name.startswith("__") else f"__{name}__"] = value
    return given


@playbook_app.command("run")
def _run(
    name: Name,
    tenant: TenantName,
    who: As,
    case_id: Annotated[str, typer.Option("--case", help="The case it is for.")],
    variables: Annotated[list[str] | None, typer.Option("--var", help="NAME=VALUE, may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; reach nobody.")] = False,
    wait: Wait = 60.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Starts a playbook and carries it on until it ends or waits for a person. Exit 1 when it failed."""
    given = _given(variables, as_json)
    with troubles(as_json), a_hub(config, tenant, tripped=dry_run) as hub:
        book, hub.playbooks.library = _found(hub.playbooks.library, name)
        if dry_run:
            from nightdesk.hub.playbooks.preview import preview

            called, values = hub.playbooks.prepared(tenant, book, case_id=case_id, by=who, given=given)
            planned = preview(hub, tenant, book, called, values, by=who, case_id=case_id)
            _tell_plan(planned, values, as_json=as_json)
            return
        run = hub.playbooks.start(tenant, book, case_id=case_id, by=who, given=given)
        run = asyncio.run(_carry(hub, run, wait))
        _tell(hub, run, as_json=as_json)
    if run.state in {"failed", "cancelled"}:
        raise typer.Exit(1)


def _tell_plan(planned: "list[PlannedStep]", values: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        emit({"dry_run": True, "variables": values, "steps": planned})
        return
    typer.echo("dry run: nothing was sent, nobody was asked")
    for step in planned:
        typer.echo(_line(step.depth, step.kind, step.name, step.when, step.text))
        for one in step.commands:
            for text in planned_lines(one):
                typer.echo(f"{'  ' * (step.depth + 3)}{visible(text)}")


async def _carry(hub: "Hub", run: "Run", wait: float) -> "Run":
    """Moves the run on until it is over, only people can move it, or the time is up."""
    until = hub.clock() + timedelta(seconds=wait)
    try:
        while run.state == "running" and hub.clock() < until:
            moved = await hub.engine.run_once() + await asyncio.to_thread(hub.playbooks.step)
            run = hub.playbooks.run(run.tenant, run.run_id)
            if not moved:
                if hub.playbooks.waits_for_people(run):
                    break
                await asyncio.sleep(0.2)
    finally:
        await hub.bindings.aclose()
    return run


def _tell(hub: "Hub", run: "Run", *, as_json: bool) -> None:
    from nightdesk.autonomy.playbooks.standing import started_by

    shown = hub.playbooks.shown(run)
    if as_json:
        emit(shown)
        return
    state = f"{run.run_id}  {visible(str(shown['playbook']))}  {run.case_id}  {run.state}"
    typer.echo(f"{state}: {visible(run.problem)}" if run.problem else state)
    typer.echo(f"  started by {visible(started_by(run))}")
    rows = [(one.left_at.isoformat(), one.name, one.outcome, one.note, ", ".join(one.actions)) for one in run.visits]
    table("done", ("at", "step", "outcome", "said", "actions"), rows)
    waiting = shown["waiting"]
    if waiting:
        table("waiting", ("step", "for", "next"), [
            (one["name"], one["text"], one["next"]) for one in waiting
        ])  # fmt: skip


@playbook_app.command("status")
def _status(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="One run; all without.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Whose data; there is no default.")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """One run: what was done, what it waits for; or every run, newest first."""
    if not tenant:
        fail("--tenant is required: a tenant is always named", code=2, as_json=as_json)
    from nightdesk.autonomy.playbooks.standing import started_by
    from nightdesk.hub.store.playbooks import runs

    with troubles(as_json), a_hub(config, tenant) as hub:
        if run_id:
            _tell(hub, hub.playbooks.run(tenant, run_id), as_json=as_json)
            return
        with hub.store.read() as conn:
            found = runs(conn, tenant)
        rows = [
            (one.run_id, one.documents[one.playbook_id]["name"], one.case_id, one.state, started_by(one))
            for one in found
        ]
    if as_json:
        emit([dict(zip(("run_id", "playbook", "case_id", "state", "started_by"), row, strict=True)) for row in rows])
    else:
        table(f"runs of {tenant}", ("run", "playbook", "case", "state", "started by"), rows)


@playbook_app.command("answer")
def _answer(
    run_id: RunId,
    step: Annotated[str, typer.Argument(help="The step's name, id or key.")],
    tenant: TenantName,
    who: As,
    text: Annotated[str, typer.Option("--answer", help="What the step asks for.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="It could not be done.")] = False,
    wait: Wait = 60.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Answers a manual step, and carries the run on."""
    with troubles(as_json), a_hub(config, tenant) as hub:
        run = hub.playbooks.answer(tenant, run_id, step, by=who, text=text, done=not failed)
        _tell(hub, asyncio.run(_carry(hub, run, wait)), as_json=as_json)


@playbook_app.command("stop")
def _stop(
    run_id: RunId,
    tenant: TenantName,
    who: As,
    reason: Annotated[str, typer.Option("--reason")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Ends a run: what was not sent is taken back, what is in force stays until it is undone."""
    with troubles(as_json), a_hub(config, tenant) as hub:
        _tell(hub, hub.playbooks.stop(tenant, run_id, by=who, why=reason), as_json=as_json)


@playbook_app.command("undo")
def _undo(
    run_id: RunId,
    tenant: TenantName,
    who: As,
    reason: Annotated[str, typer.Option("--reason")] = "",
    wait: Wait = 60.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Stops a run and takes back what it did, newest first, at the connectors that did it. Exit 1 when some is left."""
    from nightdesk.hub.playbooks.takeback import undo_run

    with troubles(as_json), a_hub(config, tenant) as hub:
        taken = asyncio.run(undo_run(hub, tenant, run_id, by=who, why=reason, wait=wait))
    if as_json:
        emit(taken)
    else:
        rows = [(one.action_id, one.verb, one.target, one.state, one.said) for one in taken]
        table("", ("action", "verb", "target", "state", "said"), rows)
    if any(one.left for one in taken):
        raise typer.Exit(1)


@playbook_app.command("test")
def _test(
    name: Name,
    vendors: Annotated[list[str] | None, typer.Option("--vendor", help="May be repeated; all of the role.")] = None,
    config: Own = None,
    as_json: Json = False,
) -> None:
    """Runs it on simulators, one vendor after another in its main role. Exit 1 when one of them fails."""
    from rich.console import Console
    from rich.progress import Progress

    from nightdesk.hub.playbooks.rehearsal import main_role, rehearse_playbook, vendors_for
    from nightdesk.hub.registry import Registry

    with troubles(as_json):
        registry = Registry.load()
        book, library = _found(library_with(config), name)
        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as shown:
            wanted = vendors or vendors_for(registry, main_role(book))
            found = [
                asyncio.run(rehearse_playbook(registry, library, book, vendor))
                for vendor in shown.track(wanted, description="rehearsing")
            ]
    if as_json:
        emit([{**plain(one), "effective": one.effective, "losses": one.losses} for one in found])
    else:
        columns = ("vendor", "end", "steps", "actions", "effective", "left out", "losses", "why")
        table(f"{book.name}, {main_role(book)}", columns, [
            (one.vendor, one.state, len(one.visits), len(one.deeds), one.effective, ", ".join(one.left_out),
             "; ".join(one.losses), one.problem)
            for one in found
        ])  # fmt: skip
    if any(one.state not in {"completed", "refused"} for one in found) or not any(one.deeds for one in found):
        raise typer.Exit(1)


@playbook_app.command("unpack")
def _unpack(file: Annotated[Path, typer.Argument()], as_json: Json = False) -> None:
    """Prints a playbook with its commands readable (``content``), to be edited and packed again."""
    from nightdesk.autonomy.playbooks.packing import unpacked

    with troubles(as_json):
        emit(unpacked(file.read_bytes(), str(file)))


@playbook_app.command("pack")
def _pack(file: Annotated[Path, typer.Argument()], as_json: Json = False) -> None:
    """Prints a playbook with its commands as CACAO wants them (``content_b64``)."""
    from nightdesk.autonomy.playbooks.packing import packed

    with troubles(as_json):
        emit(packed(file.read_bytes(), str(file)))

"""Commands that swap a vendor: rehearse it, record what to rehearse with, commit it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, plain, table, troubles

if TYPE_CHECKING:
    from nightdesk.hub.swap.handover import Handed
    from nightdesk.hub.swap.parity import Rehearsal

__all__ = ["swap_app"]

_DEFAULT = Path("nightdesk.yaml")

_PREFACE = """# What each swap would change

Every ordered pair of vendors, rehearsed on their simulators with the bundled cases and one policy: `nightdesk
swap matrix --out docs/reference/swap-matrix.md` writes this page). A cell says how many of the verbs that
either offers the new vendor does at least as well as the old one; then those that lose a parameter (lossy),
that cannot be read back or undone (weaker), that it refuses for some target, with a reason (refused in part),
or that it lacks (missing). Policy and playbooks are the same everywhere: `tests/contract/test_swap_matrix.py`
fails when that, or this page, stops being so."""

swap_app = typer.Typer(help="Swap the vendor behind a role.", no_args_is_help=True)
Role = Annotated[str, typer.Option("--role", help="edr, identity, firewall, …")]


@swap_app.command("rehearse")
def _rehearse(  # options of a command
    role: Role,
    old: Annotated[str, typer.Option("--from", help="The vendor that is bound today.")],
    new: Annotated[str, typer.Option("--to", help="The vendor that would be.")],
    cases: Annotated[Path | None, typer.Option("--cases", help="Recorded cases; the bundled ones without.")] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="The policy that decides; the demo's without.")
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on", help="Exit 1 when a verb is that bad or worse: lossy, weaker, refused, failed, missing."
        ),
    ] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="List what this tenant's bound connector holds.")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Replays cases on both vendors' simulators and says what the swap would change. Touches no real vendor."""
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.setup import starter_policy
    from nightdesk.hub.swap.parity import Parity
    from nightdesk.hub.swap.recorded import bundled, read_cases
    from nightdesk.hub.swap.rehearse import rehearse
    from nightdesk.sdk.errors import ConfigError, Problem

    grave = [Parity.LOSSY, Parity.WEAKER, Parity.REFUSED, Parity.FAILED, Parity.MISSING]
    if fail_on and fail_on not in grave:
        fail(f"--fail-on {fail_on!r}: write one of {', '.join(grave)}", code=2, as_json=as_json)
    with troubles(as_json):
        given = read_cases(cases) if cases else bundled(role)
        if given.role != role:
            raise ConfigError([Problem(str(cases), "role", f"are cases of the role {given.role}, not {role}")])
        try:
            rules = policy.read_bytes() if policy else starter_policy("demo")
        except OSError as error:
            raise ConfigError([Problem(str(policy), "", f"cannot be read: {error.strerror}")]) from error
        found = asyncio.run(rehearse(Registry.load(), role, old, new, given.cases, rules))
        held = _held(config, tenant, role, old) if tenant else []
    if as_json:
        emit({**plain(found), "worst": found.worst(), "open_leases": held})
    else:
        _show(found, held)
    if fail_on and found.worst() in grave[grave.index(Parity(fail_on)) :]:
        raise typer.Exit(1)


def _held(config: Path, tenant: str, role: str, vendor: str) -> "list[Handed]":
    """What the tenant's connectors of that vendor hold now."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.swap.handover import Handed, open_leases

    with opened(config, tenant) as (settings, store):
        hub = Hub(settings, Registry.load(), store)
        names = [name for name, one in settings.tenants[tenant].instances.items() if one.manifest.vendor == vendor]
        return [
            Handed(action.action_id, action.verb, action.target.key, action.lease_until, "open")
            for name in names
            for action in open_leases(hub, tenant, role, name)
        ]


def _show(found: "Rehearsal", held: "list[Handed]") -> None:
    title = f"{found.source} to {found.destination} as {found.role}: policy "
    title += "CHANGED" if found.policy_changed else "and playbooks unchanged"
    table(
        title,
        ("verb", "parity", "why", "losses", "seconds before", "after"),
        [
            (row.verb, row.parity, row.why, "; ".join(row.losses), _seconds(row.seconds_from), _seconds(row.seconds_to))
            for row in found.verbs
            if row.parity != "neither"
        ],
    )
    if found.cases:
        table(
            "cases under the same policy",
            ("case", "alerts", "decision", "facts lost", "facts gained"),
            [
                (
                    case.case,
                    f"{case.arrived}/{case.told}",
                    "the same" if case.same_decision else f"{case.decision_from} became {case.decision_to}",
                    ", ".join(case.facts_lost),
                    ", ".join(case.facts_gained),
                )
                for case in found.cases
            ],
        )
    table("to be granted", ("scope", "needed for"), [(one.scope, ", ".join(one.needed_for)) for one in found.scopes])
    typer.echo(
        f"{found.requests_per_case} requests a case; at {found.requests_per_minute} a minute that is room for"
        f" {found.headroom} such cases a minute"
    )
    if held:
        rows = [(one.action_id, one.verb, one.target, one.lease_until or "no end") for one in held]
        table("open at the old connector", ("action", "verb", "target", "until"), rows)
    for problem in found.problems:
        typer.echo(f"problem: {problem}", err=True)
    typer.echo(f"worst: {found.worst()}")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


@swap_app.command("matrix")
def _matrix(
    roles: Annotated[list[str] | None, typer.Option("--role", help="May be repeated; all with bundled cases.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the tables there, in Markdown.")] = None,
    as_json: Json = False,
) -> None:
    """Rehearses every ordered pair of vendors of a role on their simulators. Exit 1 when a policy would change."""
    from rich.console import Console
    from rich.progress import Progress

    from nightdesk.hub.registry import Registry
    from nightdesk.hub.setup import starter_policy
    from nightdesk.hub.swap.matrix import markdown, matrix
    from nightdesk.hub.swap.recorded import BUNDLED, bundled

    with troubles(as_json):
        registry = Registry.load()
        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as shown:
            found = [
                asyncio.run(matrix(registry, role, bundled(role).cases, starter_policy("demo")))
                for role in shown.track(roles or BUNDLED, description="rehearsing")
            ]
    lines = [line for one in found for line in markdown(one)]
    if out is not None:
        out.write_text("\n".join([_PREFACE, "", *lines]), encoding="utf-8")
    if as_json:
        emit([pair for one in found for pair in one.pairs.values()])
    elif out is None:
        typer.echo("\n".join(lines))
    if any(pair.policy_changed for one in found for pair in one.pairs.values()):
        raise typer.Exit(1)


@swap_app.command("record")
def _record(
    tenant: TenantName,
    role: Role,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    days: Annotated[float, typer.Option("--days", min=0.01)] = 30.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Writes what was told and done for a role lately, without any vendor, for `swap rehearse --cases`."""
    from datetime import timedelta

    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.swap.recording import record
    from nightdesk.sdk.context import utc_now

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        found = record(conn, tenant, role, since=utc_now() - timedelta(days=days))
    if found is None:
        fail(f"{tenant}: nothing was done by the role {role} in {days:g} days", as_json=as_json)
    out.write_text(found.dump(), encoding="utf-8")
    actions = sum(len(case.actions) for case in found.cases)
    if as_json:
        emit({"file": str(out), "cases": len(found.cases), "actions": actions})
    else:
        typer.echo(f"{out}: {len(found.cases)} cases, {actions} actions")


@swap_app.command("commit")
def _commit(
    tenant: TenantName,
    role: Role,
    new: Annotated[str, typer.Option("--to", help="The connector that takes the role.")],
    who: Annotated[str, typer.Option("--as", help="Who does it; stands in the audit.")],
    leases: Annotated[
        str, typer.Option("--leases", help="hand-over, close or keep what the old one holds.")
    ] = "hand-over",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Binds the role to another connector and deals with what the old one holds. Undo stays at the old vendor."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.swap.handover import Handed, Leases
    from nightdesk.hub.swap.rehearse import commit

    if leases not in list(Leases):
        fail(f"--leases {leases!r}: write one of {', '.join(Leases)}", code=2, as_json=as_json)
    with troubles(as_json), opened(config, tenant) as (settings, store):
        line, handed = asyncio.run(commit(config, settings, store, tenant, role, new, Leases(leases), actor=who))
    if as_json:
        emit({"changed": line, "leases": handed})
    else:
        typer.echo(line)
        rows = [(one.action_id, one.verb, one.target, one.became, one.successor, one.problem) for one in handed]
        if rows:
            table("", ("action", "verb", "target", "became", "successor", "problem"), rows)
        typer.echo("restart the hub; keep the old connector bound until nothing is held there")
    if any(isinstance(one, Handed) and one.problem for one in handed):
        raise typer.Exit(1)

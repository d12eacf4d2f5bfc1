"""Commands on cases and actions: see them, act, undo."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.egress import AttackFile, ProfileName, RawUrl, outgoing
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles, visible

if TYPE_CHECKING:
    from nightdesk.autonomy.actions import Action
    from nightdesk.hub.hub import Hub

    Work = Callable[[Hub], Coroutine[Any, Any, list[Action]]]

__all__ = ["As", "Wait", "act", "cases_app", "one_action", "run_on_hub", "settled"]

_DEFAULT = Path("nightdesk.yaml")
_SETTLED = frozenset(
    {
        "effective",
        "leased",
        "renewed",
        "undone",
        "failed",
        "rejected",
        "cancelled",
        "unverified",
        "contradicted",
        "undo_failed",
    }
)
_GOOD = frozenset({"effective", "leased", "renewed", "undone", "accepted"})

cases_app = typer.Typer(help="Cases with their story, decisions and actions.")


@cases_app.callback(invoke_without_command=True)
def _cases(
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose data; there is no default.")] = "",
    status: Annotated[str, typer.Option("--status", help="new, open, waiting, escalated or closed.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Lists cases, newest first."""
    if context.invoked_subcommand:
        return
    if not tenant:
        fail("--tenant is required: a tenant is always named", code=2, as_json=as_json)
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.store import queries

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        rows = queries.case_list(conn, tenant, status=status or None, limit=limit)
    if as_json:
        emit(rows)
        return
    shown = [
        (row.case_id, row.status, row.severity_id, row.alert_count, row.latest_outcome, row.latest_reason, row.title)
        for row in rows
    ]
    table(f"cases of {tenant}", ("case", "status", "severity", "alerts", "decision", "reason", "title"), shown)


@cases_app.command("show")
def _show(
    case_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    stix: Annotated[bool, typer.Option("--stix", help="The case as one STIX bundle.")] = False,
    profile: ProfileName = "canonical",
    attack: AttackFile = None,
    raw_url: RawUrl = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """One case: story, decision with its reasons, actions with their states."""
    import orjson

    from nightdesk.autonomy.explain import explain
    from nightdesk.autonomy.verification import verification_text, verified_level
    from nightdesk.hub.casefile import case_bundle
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.rawevents import raw_events
    from nightdesk.hub.store import links, queries
    from nightdesk.stix.bundle import bundle_bytes

    with troubles(as_json), opened(config, tenant) as (settings, store):
        sent = outgoing(profile, attack, raw_url, as_json)
        if profile != "canonical" and not stix:
            fail(f"--profile {profile} is a form of the bundle: add --stix", code=2, as_json=as_json)
        with store.read() as conn:
            page = queries.case_page(conn, tenant, links.standing(conn, tenant, case_id))
            linked = links.links(conn, tenant, page.case.case_id) if page else []
        if page is None:
            fail(f"{tenant}: no case {case_id}", as_json=as_json)
        if stix:
            scope = settings.tenants[tenant].scope
            with store.begin() as conn:
                raw = raw_events(conn, tenant, case_id) if profile == "evidence" else {}
                objects = orjson.loads(case_bundle(conn, scope, page))["objects"]
            typer.echo(bundle_bytes(scope, sent(objects, raw)).decode())
            return
    if as_json:
        from nightdesk.autonomy.openc2.wishes import command_of

        verified = {one.action_id: verified_level(one) for one in page.actions}
        emit({
            "case": page.case, "decisions": page.decisions, "actions": page.actions, "verified": verified,
            "journal": page.journal, "openc2": {one.action_id: command_of(one).to_json() for one in page.actions},
            "links": linked,
            "runs": [
                {"run_id": one.run_id, "playbook_id": one.playbook_id, "state": one.state, "problem": one.problem,
                 "started_by": one.started_by, "started_at": one.started_at, "mandate": one.mandate}
                for one in page.runs
            ],
        })  # fmt: skip
        return
    case = page.case
    typer.echo(f"{case.case_id}  {case.status}  {visible(case.title)}")
    for link in linked:
        typer.echo(
            f"  {link.case_id} {link.relation} {link.other_case} by {visible(link.actor)}: {visible(link.reason)}"
        )
    if page.decisions:
        for line in explain(page.decisions[-1], case).content.splitlines():
            typer.echo(f"  {visible(line)}")
    table("alerts", ("time", "severity", "rule", "title"), [
        (alert.created.isoformat(), alert.severity_id, alert.rule_id, alert.title) for alert in case.alerts
    ])  # fmt: skip
    table("actions", ("id", "verb", "target", "state", "verified", "at", "said"), [
        (one.action_id, one.verb, one.target.key, one.state, verification_text(one), one.instance, one.error)
        for one in page.actions
    ])  # fmt: skip
    if page.runs:
        from nightdesk.autonomy.playbooks.standing import started_by

        table("playbooks", ("run", "playbook", "state", "started by", "said"), [
            (one.run_id, one.documents[one.playbook_id]["name"], one.state, started_by(one), one.problem)
            for one in page.runs
        ])  # fmt: skip


def run_on_hub(
    config: Path,
    tenant: str,
    as_json: bool,
    work: "Callable[[Hub], Coroutine[Any, Any, list[Action]]]",
    *,
    good: Collection[str] = _GOOD,
) -> None:
    """Runs work on a hub that pulls nothing, and prints the actions it returns."""
    from rich.console import Console

    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry

    async def go(hub: "Hub") -> "list[Action]":
        try:
            return await work(hub)
        finally:
            await hub.bindings.aclose()

    with troubles(as_json), opened(config, tenant) as (settings, store):
        waiting = nullcontext() if as_json else Console(stderr=True).status("asking, and reading back")
        with waiting:
            actions = asyncio.run(go(Hub(settings, Registry.load(), store)))
    if as_json:
        emit(actions[0] if len(actions) == 1 else actions)
    else:
        rows = [
            (one.action_id, one.verb, one.target.key, one.state, one.instance, one.error or one.result.get("undo", ""))
            for one in actions
        ]
        table("", ("action", "verb", "target", "state", "at", "said"), rows)
    if not actions or any(one.state not in good for one in actions):
        raise typer.Exit(1)


async def settled(hub: "Hub", action: "Action", wait: float) -> "Action":
    """Moves the action on until it is settled or the time is over."""
    until = hub.clock() + timedelta(seconds=wait)
    action = await hub.engine.advance(action)
    while action.state not in _SETTLED and hub.clock() < until:
        await asyncio.sleep(0.2)
        action = await hub.engine.advance(action)
    return action


Wait = Annotated[float, typer.Option("--wait", min=0, max=86400, help="Seconds to wait for the effect.")]


def _somebody(name: str) -> str:
    """A blank name would answer for nothing in the journal."""
    if not name.strip():
        raise typer.BadParameter("say who you are")
    return name


As = Annotated[str, typer.Option("--as", callback=_somebody, help="Who you are; it is journalled.")]


def act(
    verb: Annotated[str, typer.Argument(help="Such as host.isolate.")],
    target: Annotated[str, typer.Argument(help="kind:value, such as host:WS-0042.")],
    tenant: TenantName,
    who: As,
    reason: Annotated[str, typer.Option("--reason")] = "",
    case_id: Annotated[str, typer.Option("--case")] = "",
    source: Annotated[str, typer.Option("--connector", help="For alert.* verbs: where the alert came from.")] = "",
    parameters: Annotated[list[str] | None, typer.Option("--param", help="NAME=VALUE, may be repeated.")] = None,
    lease: Annotated[
        float, typer.Option("--lease", min=0, max=527040, help="Minutes after which it is taken back; 0: never.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; reach nobody.")] = False,
    openc2: Annotated[bool, typer.Option("--openc2", help="Do nothing; print the OpenC2 command for it.")] = False,
    wait: Wait = 60.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Commands one action and waits until it is read back. Exit 0: effective. 1: not."""
    from nightdesk.autonomy.proposals import Approval
    from nightdesk.hub.cli.dryrun import plan_one
    from nightdesk.sdk.targets import Target

    given = dict(text.partition("=")[::2] for text in parameters or [])
    if openc2:
        from nightdesk.autonomy.openc2.wishes import Wish, to_command

        with troubles(as_json):
            wish = Wish(verb, Target.parse(target), given, case_id, reason, connector=source)
            emit(to_command(wish).to_json())
        return
    if dry_run:
        plan_one(
            config,
            tenant,
            verb,
            target,
            who=who,
            given=given,
            source=source,
            case_id=case_id,
            lease=lease,
            as_json=as_json,
        )
        return

    async def work(hub: "Hub") -> "list[Action]":
        action = hub.engine.propose(
            tenant, verb, Target.parse(target), requested_by=who, approval=Approval.DIRECT, case_id=case_id,
            parameters=given, reason=reason, source_instance=source,
            lease=timedelta(minutes=lease) if lease else None,
        )  # fmt: skip
        return [await settled(hub, action, wait)]

    run_on_hub(config, tenant, as_json, work)


def one_action(hub: "Hub", tenant: str, action_id: str) -> "Action":
    """That action. Raises UnsupportedError when the tenant has none such."""
    from nightdesk.sdk.errors import UnsupportedError

    found = hub.journal.get(tenant, action_id)
    if found is None:
        raise UnsupportedError(f"{tenant}: no action {action_id}; `nightdesk cases show` lists a case's actions")
    return found

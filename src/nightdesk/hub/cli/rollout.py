"""Commands that roll a signed policy out tenant by tenant: one person begins and stops, two enter the next ring."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, emit, fail, table, troubles, visible

if TYPE_CHECKING:
    from datetime import timedelta

    from nightdesk.autonomy.rollout import Rollout
    from nightdesk.hub.api.view import Principal
    from nightdesk.hub.config import HubSettings
    from nightdesk.hub.policies.rolling import Prepared
    from nightdesk.hub.store import Store

__all__ = ["rollout_app"]

_DEFAULT = Path("nightdesk.yaml")
rollout_app = typer.Typer(help="A signed policy in canary tenants first.", no_args_is_help=True)
Who = Annotated[str, typer.Option("--as", help="Your credential as TENANT/NAME; it is audited.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is what the next person reads.")]


@rollout_app.command("start")
def _start(
    policy: Annotated[Path, typer.Argument(help="The policy's file, its signatures beside it.")],
    ring: Annotated[list[str], typer.Option("--ring", help="Tenants, by comma; repeat it: canaries first.")],
    who: Who,
    reason: Reason,
    last: Annotated[str, typer.Option("--last", help="How far back the backtest looks.")] = "30d",
    margin: Annotated[float, typer.Option("--margin", min=0, help="How many more closes are allowed: 0.25.")] = 0.25,
    spare: Annotated[int, typer.Option("--spare", min=0, help="And so many on top.")] = 3,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Backtests the policy on every tenant of the rings, then lets it decide in the first ring."""
    from nightdesk.autonomy.rollout import Margins
    from nightdesk.hub.config import load_config
    from nightdesk.hub.policies import rolling
    from nightdesk.hub.policies.lasting import lasting
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.store import Store

    with troubles(as_json):
        registry = Registry.load()
        settings = load_config(config, registry)
        by = _principal(settings, who)
        span = lasting(last)
        prepared = rolling.prepare(policy, [text.split(",") for text in ring], settings.tenants)
        store = Store.open(settings.store)
        try:
            backtests, failing = _replayed(store, settings, registry, prepared, span, quiet=as_json)
            made = rolling.begin(
                store,
                prepared,
                by=by,
                reason=reason,
                backtests=backtests,
                failing=failing,
                margins=Margins(closes=margin, spare=spare),
            )
        finally:
            store.close()
    _told(made, as_json, f"{made.policy_id} {made.version} decides in {', '.join(made.entered)} from now on")


def _replayed(
    store: "Store", settings: "HubSettings", registry: Any, prepared: "Prepared", span: "timedelta", *, quiet: bool
) -> tuple[dict[str, Any], dict[str, float]]:
    from functools import cache

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from nightdesk.hub.dryrun import dry
    from nightdesk.hub.policies.backtest import backtest, candidate
    from nightdesk.hub.policies.past import count
    from nightdesk.hub.policies.ringwatch import failing_share

    until = store.clock()
    new = candidate(prepared.signed.policy, prepared.signed.signers)
    found: dict[str, Any] = {}
    failing: dict[str, float] = {}
    bar = Progress(console=Console(stderr=True), transient=True, disable=quiet)
    with dry(settings) as tripwire, bar as progress:
        for slug in prepared.before:
            work = progress.add_task(f"replaying {slug}", total=count(store, slug, until - span, until))

            def shown(done: int, work: TaskID = work) -> None:
                progress.update(work, completed=done)

            found[slug] = backtest(
                store,
                settings.tenants[slug].scope,
                new=new,
                since=until - span,
                until=until,
                normalizer=cache(registry.normalizer),
                progress=shown,
            )
            with store.read() as conn:
                failing[slug] = failing_share(conn, slug, until - span, until)
        tripwire.check()
    return found, failing


@rollout_app.command("advance")
def _advance(who: Who, reason: Reason, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Asks to enter the next ring; a second person's same command does. Approvers or admins, one an admin."""
    from nightdesk.hub import switching
    from nightdesk.hub.config import load_config
    from nightdesk.hub.policies import rolling
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.store import Store

    with troubles(as_json):
        settings = load_config(config, Registry.load())
        by = _principal(settings, who)
        store = Store.open(settings.store)
        try:
            done = rolling.advance(store, by=by, reason=reason, known=switching.person(settings.tenants))
        finally:
            store.close()
    here = done.rollout
    if not done.entered:
        text = "asked. It waits until another person gives the same command."
    elif here.state.value == "finished":
        text = "every ring is entered: name the policy in the configuration, and it is no rollout any more"
    else:
        text = f"{here.policy_id} {here.version} decides in {', '.join(here.entered)} from now on"
    _told(here, as_json, text)


@rollout_app.command("stop")
def _stop(
    who: Annotated[str, typer.Option("--as", help="Who you are; it is audited.")],
    reason: Reason,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Back to the policies of before, everywhere, in one step; works with a broken configuration too."""
    from nightdesk.hub.policies import rolling
    from nightdesk.hub.store import Store
    from nightdesk.hub.whereabouts import whereabouts

    with troubles(as_json):
        store = Store.open(whereabouts(config).store)
        try:
            over = rolling.stop(store, by=rolling.person(who), reason=reason)
        finally:
            store.close()
    _told(over, as_json, f"stopped: {over.policy_id} {over.version}. What it closed is decided again by a running hub.")


@rollout_app.command("status")
def _status(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose part of it; there is no default.")] = "",
    everywhere: Annotated[bool, typer.Option("--all", help="The whole installation: every ring.")] = False,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Where the rollout stands, and what happened since in the tenants that it entered."""
    from nightdesk.hub.policies.ringwatch import look
    from nightdesk.hub.store import Store, rollouts
    from nightdesk.hub.whereabouts import whereabouts

    if bool(tenant) == everywhere:
        fail("name one --tenant, or --all for the whole installation", code=2, as_json=as_json)
    with troubles(as_json):
        place = whereabouts(config)
        if tenant and tenant not in place.tenants:
            fail(f"no tenant {tenant!r}; there are {', '.join(place.tenants)}", code=2, as_json=as_json)
        store = Store.open(place.store)
        try:
            with store.read() as conn:
                found = rollouts.current(conn)
                shown = [] if found is None else [one for one in found.entered if everywhere or one == tenant]
                seen = {slug: look(conn, found, slug) for slug in shown} if found is not None else {}
        finally:
            store.close()
    if found is None or not (everywhere or any(tenant in ring for ring in found.rings)):
        _nothing(as_json)
        return
    document = _document(found) if everywhere else _part(found, tenant)
    if as_json:
        emit({**document, "seen": seen})
        return
    typer.echo(visible(f"{found.policy_id} {found.version} ({found.sha256[:12]}): {document['state']}"))
    if everywhere:
        for index, ring in enumerate(found.rings):
            typer.echo(f"  ring {index + 1}{' entered' if index <= found.ring else ''}: {', '.join(ring)}")
        asked = f"; {found.asked_by} asked to go on" if found.asked_by else ""
        typer.echo(visible(f"  {found.changed_at:%Y-%m-%d %H:%M} {found.changed_by}: {found.reason}{asked}"))
    table("", ("tenant", "decisions", "closes", "allowed", "overridden", "canaries closed", "actions", "failed"), [
        (slug, one.decisions, one.closes, _allowed(found, slug, one.decisions),
         ", ".join(one.overridden), ", ".join(one.canaries), one.actions, one.failed)
        for slug, one in seen.items()
    ])  # fmt: skip


def _allowed(rollout: "Rollout", slug: str, decisions: int) -> int:
    from nightdesk.autonomy.rollout import allowed_closes

    return allowed_closes(rollout, slug, decisions)


def _principal(settings: "HubSettings", who: str) -> "Principal":
    from nightdesk.hub import switching
    from nightdesk.sdk.errors import PolicyError

    tenant, _, name = who.partition("/")
    found = switching.person(settings.tenants)(tenant, name)
    if found is None:
        raise PolicyError(f"nobody is called {who!r}; write TENANT/NAME of a credential as configured")
    return found


def _nothing(as_json: bool) -> None:
    if as_json:
        emit({"state": "none"})
    else:
        typer.echo("no policy was rolled out")


def _told(rollout: "Rollout", as_json: bool, text: str) -> None:
    if as_json:
        emit(_document(rollout))
    else:
        typer.echo(visible(text))


def _document(rollout: "Rollout") -> dict[str, Any]:
    from dataclasses import asdict

    reviewed = all(rollout.reviewed.get(slug, 0) < 0 for slug in rollout.entered)
    return {**asdict(rollout), "entered": rollout.entered, "closures_reviewed": rollout.on or reviewed}


def _part(rollout: "Rollout", tenant: str) -> dict[str, Any]:
    """What is one tenant's: nothing of the others (law 3)."""
    inside = tenant in rollout.entered
    return {
        "policy_id": rollout.policy_id,
        "version": rollout.version,
        "sha256": rollout.sha256,
        "state": rollout.state.value if inside or not rollout.on else "waiting",
        "since": rollout.since.get(tenant),
        "expected": rollout.expected.get(tenant, 0.0),
        "closures_reviewed": rollout.on or rollout.reviewed.get(tenant, 0) < 0,
    }

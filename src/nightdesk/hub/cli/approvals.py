"""Commands on what waits for persons: list it, answer it, let somebody stand in."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.cases import As, Wait, run_on_hub, settled
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles, visible
from nightdesk.hub.cli.spans import moment

if TYPE_CHECKING:
    from nightdesk.autonomy.actions import Action
    from nightdesk.hub.approvals.desk import Waiting
    from nightdesk.hub.hub import Hub

    Work = Callable[[Hub], Coroutine[Any, Any, list[Action]]]

__all__ = ["approvals", "approve", "delegate", "reject"]

_DEFAULT = Path("nightdesk.yaml")
Digest = Annotated[
    str, typer.Option("--digest", help="Of what you saw (`nightdesk approvals`); without: as it is now.")
]
OnBehalf = Annotated[str, typer.Option("--for", help="Whom you stand in for.")]


def approvals(tenant: TenantName, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """What waits for persons: what, why, who answered, who is missing, until when."""
    from nightdesk.hub.approvals.wording import lines_of
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry

    async def look(hub: "Hub") -> "list[Waiting]":
        try:
            for action in hub.journal.in_state([ActionState.AWAITING_APPROVAL], tenant=tenant):
                await hub.engine.advance(action)
            return hub.approvals.waiting(tenant)
        finally:
            await hub.bindings.aclose()

    from nightdesk.autonomy.actions import ActionState

    with troubles(as_json), opened(config, tenant) as (settings, store):
        hub = Hub(settings, Registry.load(), store)
        found = asyncio.run(look(hub))
        standing_in = hub.approvals.delegations(tenant)
    if as_json:
        emit({"tenant": tenant, "approvals": [one.document() for one in found], "delegations": standing_in})
        return
    for one in found:
        typer.echo(f"{one.action.action_id}  {one.request.missing} of {one.request.needed} missing")
        for line in lines_of(one.facts):
            typer.echo(f"  {visible(line.label)}: {visible(line.value)}")
        for note in filter(None, (one.request.because, one.request.problem)):
            typer.echo(f"  ! {visible(note)}")
        for vote in one.request.votes:
            whom = f" for {vote['for']}" if vote["for"] != vote["who"] else ""
            typer.echo(f"  {visible(vote['who'])}{visible(whom)}: {vote['answer']} ({visible(vote['channel'])})")
        typer.echo(f"  until {one.request.expires_at}, digest {one.request.digest}\n")
    if standing_in:
        rows = [(one.giver, one.taker, one.until.isoformat()) for one in standing_in]
        table("delegations", ("for", "votes", "until"), rows)
    elif not found:
        typer.echo(f"nothing of {tenant} waits for persons")


def approve(
    action_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    who: As,
    digest: Digest = "",
    on_behalf: OnBehalf = "",
    comment: Annotated[str, typer.Option("--comment")] = "",
    wait: Wait = 60.0,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Agrees to a proposed action, and waits until it is read back; who requested it cannot approve it.

    Exit 0 also when others must agree too.
    """
    from nightdesk.autonomy.approvals import Choice

    _answer(config, tenant, as_json, wait, action_id, Choice.APPROVE, who, digest, on_behalf, comment)


def reject(
    action_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    who: As,
    digest: Digest = "",
    on_behalf: OnBehalf = "",
    reason: Annotated[str, typer.Option("--reason")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Says no to a proposed action; one no is enough."""
    from nightdesk.autonomy.approvals import Choice

    _answer(config, tenant, as_json, 0.0, action_id, Choice.REJECT, who, digest, on_behalf, reason)


def _answer(
    config: Path, tenant: str, as_json: bool, wait: float, action_id: str, choice: Any, who: str, digest: str,
    on_behalf: str, comment: str,
) -> None:  # fmt: skip
    from nightdesk.autonomy.actions import ActionState
    from nightdesk.autonomy.approvals import Ballot, Refused, VoteError

    async def work(hub: "Hub") -> "list[Action]":
        found = hub.journal.get(tenant, action_id)
        if found is None:
            raise VoteError(Refused.UNKNOWN, f"{tenant}: no action {action_id}; `nightdesk approvals` lists what waits")
        if found.state is ActionState.AWAITING_APPROVAL:
            await hub.engine.advance(found)  # no hub may run: then nobody has looked its connector up yet
        now = hub.approvals.one(tenant, action_id)
        seen = digest or (now.request.digest if now else "")
        done = hub.approvals.vote(tenant, action_id, Ballot(who, choice, seen, "cli", on_behalf, comment))
        return [await settled(hub, done, wait) if done.state is ActionState.APPROVED else done]

    run_on_hub(config, tenant, as_json, work, good=_TAKEN | ({"rejected"} if choice == "reject" else set()))


_TAKEN = frozenset({"effective", "leased", "renewed", "undone", "accepted", "awaiting_approval"})


def delegate(
    tenant: TenantName,
    who: As,
    giver: Annotated[str, typer.Option("--from", help="Whose vote it is.")],
    taker: Annotated[str, typer.Option("--to", help="Who votes in their place.")],
    until: Annotated[str, typer.Option("--until", help="A time with its zone, or a span such as 8h or 3d.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Ends it now.")] = False,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Lets somebody approve in another's place for a time; `nightdesk approvals` lists who does."""
    from nightdesk.autonomy.approvals import Delegation
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.hub import Hub
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.context import utc_now

    if bool(until) == end:
        fail("give --until, or --end", code=2, as_json=as_json)
    ends = utc_now() if end else moment(until, utc_now())
    if ends is None:
        fail(f"--until {until!r}: write 2026-11-30T18:00:00+01:00, 8h or 3d", code=2, as_json=as_json)
    wanted = Delegation(giver, taker, ends)
    with troubles(as_json), opened(config, tenant) as (settings, store):
        desk = Hub(settings, Registry.load(), store).approvals
        if end:
            desk.withdraw(tenant, wanted, by=who)
        else:
            wanted = desk.delegate(tenant, wanted, by=who)
    if as_json:
        emit({"tenant": tenant, "ended": end, "delegation": wanted})
    elif end:
        typer.echo(f"{taker} no longer votes for {giver}")
    else:
        typer.echo(f"{wanted.taker} votes for {wanted.giver} until {wanted.until.isoformat()}")

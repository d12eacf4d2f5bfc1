"""Commands on what two persons agreed to be quiet about, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.cases import As
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles, visible
from nightdesk.hub.cli.spans import span

if TYPE_CHECKING:
    from nightdesk.autonomy.suppression import Suppression
    from nightdesk.hub.api.view import Principal
    from nightdesk.hub.store import Store
    from nightdesk.hub.two_persons import Known

__all__ = ["suppress_app"]

_DEFAULT = Path("nightdesk.yaml")

suppress_app = typer.Typer(help="Being quiet about one detection for a while: two persons agree, one ends it.")


@suppress_app.command("ask")
def _ask(
    tenant: TenantName,
    who: As,
    reason: Annotated[str, typer.Option("--reason", help="What the next person reads.")],
    lasts: Annotated[str, typer.Option("--for", help="How long, as 12h or 7d; at most 30d.")],
    rule_id: Annotated[str, typer.Option("--rule-id", help="The detection's id, exactly.")] = "",
    rule_name: Annotated[str, typer.Option("--rule-name", help="Or its name, exactly.")] = "",
    source: Annotated[str, typer.Option("--source", help="The product it is from.")] = "",
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity", help="Only where every address, device, file or resource is one of these: KIND:VALUE."
        ),
    ] = None,
    severity: Annotated[str, typer.Option("--up-to", help="The gravest severity that it holds for.")] = "medium",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Asks for a suppression; it holds once another person agrees."""
    from nightdesk.autonomy.suppression import Asked
    from nightdesk.hub import suppressing

    length = span(lasts)
    if length is None:
        fail(f"--for {lasts}: write 12h or 7d", code=2, as_json=as_json)
    asked = Asked(rule_id, rule_name, source, tuple(entity or ()), severity)
    with troubles(as_json), _someone(config, tenant, who) as (store, by, _):
        made = suppressing.ask(store, asked, by=by, reason=reason, lasts=length)
    _tell(made, as_json, f"asked: suppression {made.suppression_id}. It holds once another person agrees.")


@suppress_app.command("agree")
def _agree(
    suppression_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    who: As,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """The second person's word, approver or admin (one of the two an admin)."""
    from nightdesk.hub import suppressing

    with troubles(as_json), _someone(config, tenant, who) as (store, by, known):
        made = suppressing.agree(store, suppression_id, by=by, known=known)
    _tell(made, as_json, f"suppression {suppression_id} holds until {made.expires_at.isoformat()}")


@suppress_app.command("end")
def _end(
    suppression_id: Annotated[str, typer.Argument()],
    tenant: TenantName,
    who: As,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Ends it, one person is enough; every case that it closed is decided again without it."""
    from nightdesk.hub import suppressing

    with troubles(as_json), _someone(config, tenant, who) as (store, by, _):
        made, again = suppressing.end(store, suppression_id, by=by)
    if as_json:
        emit({**_plain(made), "decided_again": again})
    else:
        typer.echo(f"suppression {suppression_id} is {made.state}; {len(again)} closed cases are decided again")


@suppress_app.command("list")
def _list(tenant: TenantName, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """What is or was suppressed, by whom and until when."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.store import suppressions

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        found = suppressions.known(conn, tenant)
        now = store.clock()
    if as_json:
        emit([{**_plain(one), "active": one.active(now)} for one in found])
        return
    rows = [
        (one.suppression_id, "over" if one.state == "active" and not one.active(now) else one.state,
         visible(one.asked.rule_id or one.asked.rule_name), visible(", ".join(one.asked.entities)), one.asked.severity,
         one.owner, one.agreed_by, one.expires_at.isoformat(), visible(one.reason))
        for one in found
    ]  # fmt: skip
    head = ("id", "state", "detection", "only", "up to", "owner", "agreed", "until", "why")
    table(f"suppressions of {tenant}", head, rows)


@contextmanager
def _someone(config: Path, tenant: str, who: str) -> "Iterator[tuple[Store, Principal, Known]]":
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.switching import person
    from nightdesk.sdk.errors import PolicyError

    with opened(config, tenant) as (settings, store):
        known = person(settings.tenants)
        by = known(tenant, who)
        if by is None:
            raise PolicyError(f"{tenant}: nobody is called {who!r}; write a credential's name as configured")
        yield store, by, known


def _tell(made: "Suppression", as_json: bool, text: str) -> None:
    if as_json:
        emit(_plain(made))
    else:
        typer.echo(text)


def _plain(one: "Suppression") -> dict[str, Any]:
    return {**one.to_json(), "state": one.state, "created_at": one.created_at, "ended_by": one.ended_by}

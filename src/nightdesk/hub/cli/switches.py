"""Commands that stop the machine and start it again: one person stops, two start."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, emit, fail, table, troubles

if TYPE_CHECKING:
    from nightdesk.autonomy.switches import Position, Switch
    from nightdesk.hub.store import Store
    from nightdesk.hub.store.audit import AuditEntry

__all__ = ["start", "stop", "switches"]

_DEFAULT = Path("nightdesk.yaml")
Tenant = Annotated[str, typer.Option("--tenant", help="Whose; there is no default.")]
All = Annotated[bool, typer.Option("--all", help="The whole installation: every tenant.")]
RuleName = Annotated[str, typer.Option("--rule", help="A policy rule's id, or RULE/VERB.")]
VendorAction = Annotated[str, typer.Option("--vendor-action", help="VENDOR/VERB, whoever wants it.")]
Levels = Annotated[bool, typer.Option("--levels", help="Raising levels of autonomy, and nothing else.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; with --all every tenant reads it.")]


def stop(
    who: Annotated[str, typer.Option("--as", help="Who you are; it is audited.")],
    reason: Reason,
    tenant: Tenant = "",
    everywhere: All = False,
    rule: RuleName = "",
    vendor_action: VendorAction = "",
    levels: Levels = False,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Stops the machine, from its next request on, in every process; works with a broken configuration too."""
    from nightdesk.hub import switching

    with troubles(as_json):
        switch = _named(tenant, everywhere, rule, vendor_action, as_json, levels=levels)
        with _store(config, switch) as store:
            position = switching.stop(store, switch, by=who, reason=reason, missing=_missing(config, switch, store))
    if as_json:
        emit(_plain(position))
    else:
        typer.echo(f"stopped: {position.switch}. Undo, lease ends and read-backs go on; starting takes two persons.")


def start(
    who: Annotated[str, typer.Option("--as", help="Your credential's name; with --all TENANT/NAME.")],
    reason: Reason,
    tenant: Tenant = "",
    everywhere: All = False,
    rule: RuleName = "",
    vendor_action: VendorAction = "",
    levels: Levels = False,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Asks to start what was stopped; a second person's within a day starts it. Approvers or admins, one an admin."""
    from nightdesk.autonomy.switches import ANYWHERE
    from nightdesk.hub import switching
    from nightdesk.hub.approvals.settings import rules_of
    from nightdesk.hub.config import load_config
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.store import Store
    from nightdesk.sdk.errors import PolicyError

    with troubles(as_json):
        switch = _named(tenant, everywhere, rule, vendor_action, as_json, levels=levels)
        settings = load_config(config, Registry.load())
        known = switching.person(settings.tenants)
        home, _, name = who.partition("/") if switch.tenant == ANYWHERE else (switch.tenant, "", who)
        by = known(home, name)
        if by is None:
            form = "TENANT/NAME" if switch.tenant == ANYWHERE else f"a credential's name of {switch.tenant}"
            raise PolicyError(f"{switch}: nobody is called {who!r}; write {form} as configured")
        store = Store.open(settings.store)
        try:
            rules = partial(rules_of, settings.tenants)
            done = switching.start(store, switch, by=by, reason=reason, known=known, rules=rules)
        finally:
            store.close()
    if as_json:
        emit(_plain(done.position))
    elif done.running:
        typer.echo(f"started: {switch}")
    else:
        typer.echo(f"asked to start: {switch}. It stays stopped until another person gives the same command.")


def switches(
    tenant: Tenant = "",
    everywhere: All = False,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Lists what is stopped or was, and who changed what, from the audit."""
    from nightdesk.hub.store import switches as stored

    with troubles(as_json):
        switch = _named(tenant, everywhere, "", "", as_json)
        with _store(config, switch) as store, store.read() as conn:
            known = [one if everywhere else one.told() for one in stored.known(conn, switch.tenant)]
            lines = stored.history(conn, switch.tenant)
    if as_json:
        emit({"switches": [_plain(one) for one in known], "history": [_line(one) for one in lines]})
        return
    rows = [
        (one.switch.tenant, one.switch.scope, one.switch.subject, "stopped" if one.stopped else "running",
         one.changed_by, one.changed_at.isoformat(), one.asked_by, one.reason)
        for one in known
    ]  # fmt: skip
    table("switches", ("tenant", "scope", "subject", "state", "by", "at", "start asked by", "reason"), rows)
    table("history", ("at", "by", "what", "scope", "subject", "reason"), [
        (one.at.isoformat(), one.actor, one.event, one.detail["scope"], one.detail["subject"], one.detail["reason"])
        for one in lines
    ])  # fmt: skip


def _named(
    tenant: str, everywhere: bool, rule: str, vendor_action: str, as_json: bool, *, levels: bool = False
) -> "Switch":
    from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch

    if bool(tenant) == everywhere:
        fail("name one --tenant, or --all for the whole installation", code=2, as_json=as_json)
    if bool(rule) + bool(vendor_action) + levels > 1:
        fail("name one --rule, one --vendor-action or --levels, not several", code=2, as_json=as_json)
    whose = ANYWHERE if everywhere else tenant
    if rule:
        return Switch(whose, Scope.RULE, rule)
    if vendor_action:
        return Switch(whose, Scope.VENDOR_ACTION, vendor_action)
    if levels:
        return Switch(whose, Scope.LEVELS)
    return Switch(whose, Scope.ALL if everywhere else Scope.TENANT)


def _missing(config: Path, switch: "Switch", store: "Store") -> str:
    """Why that switch could stop nothing; empty also when the configuration is too broken to tell."""
    from nightdesk.hub import switching
    from nightdesk.hub.config import load_config
    from nightdesk.hub.policies.standing import Standing
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.errors import ConfigError

    if not switch.subject:
        return ""
    try:
        tenants = load_config(config, Registry.load()).tenants
        standing = Standing(tenants, store)
        standing.refresh()
        return switching.missing(switch, tenants, standing.rules())
    except ConfigError:
        return ""


@contextmanager
def _store(config: Path, switch: "Switch") -> "Iterator[Store]":
    """The open store of a configuration that need not be valid. Raises ConfigError for a tenant it does not have."""
    from nightdesk.autonomy.switches import ANYWHERE
    from nightdesk.hub.store import Store
    from nightdesk.hub.whereabouts import whereabouts
    from nightdesk.sdk.errors import ConfigError, Problem

    url, tenants = whereabouts(config)
    if switch.tenant not in {ANYWHERE, *tenants}:
        there = ", ".join(tenants)
        raise ConfigError([Problem(str(config), "tenants", f"no tenant {switch.tenant!r}; there are {there}")])
    store = Store.open(url)
    try:
        yield store
    finally:
        store.close()


def _plain(position: "Position") -> dict[str, Any]:
    return {
        "tenant": position.switch.tenant,
        "scope": position.switch.scope,
        "subject": position.switch.subject,
        "stopped": position.stopped,
        "reason": position.reason,
        "changed_by": position.changed_by,
        "changed_at": position.changed_at,
        "asked_by": position.asked_by,
    }


def _line(entry: "AuditEntry") -> dict[str, Any]:
    return {"seq": entry.seq, "at": entry.at, "by": entry.actor, "event": entry.event, **entry.detail}

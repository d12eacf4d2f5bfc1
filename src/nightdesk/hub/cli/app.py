"""The commands and where each lives."""

from enum import StrEnum
from typing import Annotated

import typer

from nightdesk import __version__
from nightdesk.hub.cli import (
    alerts,
    approvals,
    autonomy,
    cases,
    coverage,
    decisions,
    enrich,
    estate,
    explaining,
    feeds,
    leases,
    playbook,
    plugin,
    policies,
    quality,
    regroup,
    running,
    simulate,
    suppress,
    swap,
    switches,
)

__all__ = ["app"]

app = typer.Typer(
    name="nightdesk",
    help="One hub for every SIEM and EDR: alerts in as STIX 2.1, cases decided, actions verified and undoable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class _Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    log_level: Annotated[_Level, typer.Option("--log-level", help="Log lines go to standard error.")] = _Level.WARNING,
) -> None:
    from nightdesk.hub.logs import configure_logs

    del version
    configure_logs(log_level.value)


app.command("demo")(running.demo)
app.command("run")(running.run)
app.command("init")(running.init)
app.add_typer(running.config_app, name="config")
app.add_typer(policies.policy_app, name="policy")
app.add_typer(estate.vendors_app, name="vendors")
app.add_typer(swap.swap_app, name="swap")
app.add_typer(plugin.plugin_app, name="plugin")
app.command("quality")(quality.quality)
app.command("simulate")(simulate.simulate)
app.command("backfill")(feeds.backfill)
app.command("normalize")(alerts.normalize)
app.command("coverage")(coverage.coverage)
app.add_typer(alerts.quarantine_app, name="quarantine")
app.command("ledger")(alerts.ledger)
app.add_typer(cases.cases_app, name="cases")
cases.cases_app.command("merge")(regroup.merge)
cases.cases_app.command("split")(regroup.split)
app.command("explain")(explaining.explain)
app.add_typer(decisions.decisions_app, name="decisions")
app.add_typer(suppress.suppress_app, name="suppress")
app.add_typer(playbook.playbook_app, name="playbook")
app.add_typer(autonomy.autonomy_app, name="autonomy")
app.command("enrich")(enrich.enrich)
app.add_typer(enrich.allow_app, name="allow-list")
app.command("act")(cases.act)
app.command("approvals")(approvals.approvals)
app.command("approve")(approvals.approve)
app.command("reject")(approvals.reject)
app.command("delegate")(approvals.delegate)
app.command("leases")(leases.leases)
app.command("undo")(leases.undo)
app.command("renew")(leases.renew)
app.command("stop")(switches.stop)
app.command("start")(switches.start)
app.command("switches")(switches.switches)

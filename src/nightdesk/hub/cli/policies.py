"""Commands that try a policy before it decides anything: its tests, its reasons, its past."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, emit, fail, troubles, visible
from nightdesk.hub.cli.rollout import rollout_app
from nightdesk.hub.cli.running import policy_app

if TYPE_CHECKING:
    from datetime import timedelta

    from nightdesk.autonomy.policy import Policy
    from nightdesk.hub.policies.backtest import Backtest
    from nightdesk.hub.policies.reasons import Reasons
    from nightdesk.hub.policies.trying import Report, Tried

__all__ = ["policy_app"]

_DEFAULT = Path("nightdesk.yaml")
policy_app.add_typer(rollout_app, name="rollout")
PolicyFile = Annotated[Path, typer.Argument(help="The policy's file.")]


@policy_app.command("test")
def _test(
    policy: PolicyFile,
    tests: Annotated[Path | None, typer.Option("--tests", help="The tests; POLICY.tests.yaml without.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail also when a rule is exercised by no test.")] = False,
    as_json: Json = False,
) -> None:
    """Tries a policy on the cases written beside it. Exit 1 when one became something else than expected."""
    from nightdesk.autonomy.policy_file import read_policy
    from nightdesk.hub.policies.suite import beside, read_suite
    from nightdesk.hub.policies.trying import run_suite
    from nightdesk.hub.registry import Registry
    from nightdesk.sdk.context import utc_now

    with troubles(as_json):
        found = read_policy(policy)
        suite = read_suite(tests or beside(policy))
        if suite.policy not in {"", found.policy_id}:
            fail(f"{suite.file}: tests of {suite.policy!r}, and {policy} is {found.policy_id!r}", as_json=as_json)
        report = run_suite(found, suite, lambda: Registry.load().normalizer(), today=utc_now())
    if as_json:
        emit({
            "policy_id": report.policy_id, "version": report.version, "sha256": report.sha256,
            "passed": report.passed, "tests": [{**_plain(one), "passed": one.passed} for one in report.tests],
            "untested": report.untested, "expired": report.expired,
        })  # fmt: skip
    else:
        for line in _report_lines(report, suite.file, len(found.rules)):
            typer.echo(visible(line))
    if not report.passed or (strict and report.untested):
        raise typer.Exit(1)


def _plain(tried: "Tried") -> dict[str, object]:
    from dataclasses import asdict

    return dict(asdict(tried))


def _report_lines(report: "Report", file: str, rules: int) -> Iterator[str]:
    for one in report.tests:
        yield f"{'ok  ' if one.passed else 'FAIL'} {one.name}"
        if one.passed:
            continue
        yield f"     {file}, line {one.line}"
        for difference in one.differences:
            yield f"     - {difference.what}: {difference.expected}"
            yield f"     + {difference.what}: {difference.found}"
        yield f"     it became {one.outcome} as {one.verdict} ({one.reason}); rules: {', '.join(one.rules) or 'none'}"
        yield from (f"     failed check {text}" for text in one.failed_checks)
    failed = sum(not one.passed for one in report.tests)
    yield f"{len(report.tests)} tests, {failed} failed; {rules - len(report.untested)} of {rules} rules exercised"
    if report.untested:
        yield f"no test exercises: {', '.join(report.untested)}"
    if report.expired:
        yield f"expired by now: {', '.join(report.expired)}"


@policy_app.command("explain")
def _explain(
    policy: PolicyFile,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose; there is no default.")],
    case_id: Annotated[str, typer.Option("--case", help="A recorded case; its newest decision's moment.")] = "",
    decision_id: Annotated[str, typer.Option("--decision", help="Another decision of that case.")] = "",
    alert: Annotated[Path | None, typer.Option("--alert", help="A file with vendor alerts, as one case.")] = None,
    product: Annotated[str, typer.Option("--product", help="Of --alert; auto: recognised.")] = "auto",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Says why a policy, taken as signed, decides a case as it does, and what would have to change. Writes nothing."""
    from nightdesk.autonomy.policy_file import read_policy
    from nightdesk.hub.policies.reasons import in_words

    if bool(case_id) == (alert is not None):
        fail("name one --case, or one --alert file", code=2, as_json=as_json)
    with troubles(as_json):
        found = read_policy(policy)
        if alert is not None:
            told = _of_file(found, tenant, alert, product)
        else:
            told = _of_case(found, tenant, case_id, decision_id, config)
    if as_json:
        emit(told)
        return
    for line in in_words(told):
        typer.echo(visible(line))


def _of_file(policy: "Policy", tenant: str, file: Path, product: str) -> "Reasons":
    from datetime import timedelta

    from nightdesk.autonomy.decide import decide
    from nightdesk.hub.policies.casebook import a_scope, case_of, last_moment, raw_alerts
    from nightdesk.hub.policies.reasons import reasons
    from nightdesk.hub.policies.trying import as_signed
    from nightdesk.hub.registry import Registry

    alerts = raw_alerts(Registry.load().normalizer(), product, file, a_scope(tenant))
    case = case_of(alerts)
    moment = last_moment(alerts) + timedelta(seconds=600)
    quiet = timedelta(seconds=300)
    return reasons(policy, case, decide(case, as_signed(policy, 2), now=moment, quiet=quiet, decision_id="explain"))


def _of_case(policy: "Policy", tenant: str, case_id: str, decision_id: str, config: Path) -> "Reasons":
    from nightdesk.autonomy.record import again, as_it_stood
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.policies.past import recorded_case, the_decision
    from nightdesk.hub.policies.reasons import reasons
    from nightdesk.hub.policies.trying import as_signed
    from nightdesk.hub.registry import Registry

    with opened(config, tenant) as (settings, store), store.read() as conn:
        told = the_decision(conn, tenant, case_id, decision_id)
        normalizer = Registry.load().normalizer
        case = recorded_case(conn, settings.tenants[tenant].scope, told, normalizer)
    made = again(told, case, as_signed(policy, 2))
    return reasons(policy, as_it_stood(told, case), made)


@policy_app.command("backtest")
def _backtest(
    policy: PolicyFile,
    tenant: Annotated[list[str], typer.Option("--tenant", help="Whose past; may be repeated, * is every tenant.")],
    against: Annotated[Path | None, typer.Option("--against", help="Another policy; what was decided without.")] = None,
    last: Annotated[str, typer.Option("--last", help="How far back: 90m, 12h, 30d, 4w.")] = "30d",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Replays recorded decisions under a policy, taken as signed: what would have changed. Writes and sends nothing.

    Exit 1 when it would have closed a case that a person judged an attack and that was not closed then.
    """
    from nightdesk.autonomy.policy_file import read_policy
    from nightdesk.hub.policies import told
    from nightdesk.hub.policies.lasting import lasting

    with troubles(as_json):
        span = lasting(last)
        new, old = read_policy(policy), read_policy(against) if against is not None else None
        found = list(_replayed(new, old, tenant, span, config, quiet=as_json))
    if as_json:
        emit({"tenants": [told.as_json(one) for one in found]})
    else:
        for one in found:
            for line in told.lines(one):
                typer.secho(visible(line.text), fg="red" if line.grave else None)
    if any(not danger.closed_before for one in found for danger in one.dangers):
        raise typer.Exit(1)


def _replayed(
    new: "Policy", old: "Policy | None", tenants: list[str], span: "timedelta", config: Path, *, quiet: bool
) -> "Iterator[Backtest]":
    from functools import cache

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from nightdesk.hub.config import load_config
    from nightdesk.hub.dryrun import dry
    from nightdesk.hub.policies.backtest import backtest, candidate
    from nightdesk.hub.policies.past import count
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.store import Store
    from nightdesk.sdk.errors import ConfigError, Problem

    registry = Registry.load()
    settings = load_config(config, registry)
    chosen = sorted(settings.tenants) if "*" in tenants else list(dict.fromkeys(tenants))
    for slug in chosen:
        if slug not in settings.tenants:
            there = ", ".join(settings.tenants)
            raise ConfigError([Problem(str(config), "tenants", f"no tenant {slug!r}; there are {there}")])
    store = Store.open(settings.store)
    until = store.clock()
    try:
        bar = Progress(console=Console(stderr=True), transient=True, disable=quiet)
        with dry(settings) as tripwire, bar as progress:
            for slug in chosen:
                work = progress.add_task(f"replaying {slug}", total=count(store, slug, until - span, until))

                def shown(done: int, work: TaskID = work) -> None:
                    progress.update(work, completed=done)

                yield backtest(
                    store,
                    settings.tenants[slug].scope,
                    new=candidate(new),
                    old=candidate(old) if old is not None else None,
                    since=until - span,
                    until=until,
                    normalizer=cache(registry.normalizer),
                    progress=shown,
                )
            tripwire.check()
    finally:
        store.close()

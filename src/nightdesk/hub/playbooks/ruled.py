"""Runs that signed rules start: what a decision must know of a playbook before, and the run made with the decision.

The run is stored in the decision's own transaction: a killed process leaves both or neither (law 4), and a case that is
decided again for the same reason finds its run there.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from nightdesk.autonomy.guardrails import BookFacts, DecisionContext
from nightdesk.autonomy.playbooks.content import called_by, content_of
from nightdesk.autonomy.playbooks.library import Library, bundled
from nightdesk.autonomy.playbooks.mandate import Terms, halted_by, own_inputs, standing_of, terms
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.ruled import FROM_CASE
from nightdesk.autonomy.playbooks.run import Act, Mandate, Run, RunState, Stopped
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.autonomy.playbooks.standing import ROOT_PATH, begin
from nightdesk.autonomy.policy import Policy, StartPlaybook, hits
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.aftermath import AUTONOMY, containment_lease
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.lookout import plain_policy
from nightdesk.hub.playbooks.readiness import inputs_for, unready
from nightdesk.hub.store import audit, decisions, links, switches
from nightdesk.hub.store import playbooks as table
from nightdesk.hub.store.prior import activity
from nightdesk.sdk.case import Alert, Case, Decision, PlaybookStart
from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Verb

__all__ = ["RuledRuns", "Shelf", "halts", "terms_for"]

_MOST = 1000
"""Runs of one case that are looked through for one of the same playbook."""


class _HasLibrary(Protocol):
    library: Library


@dataclass(slots=True)
class Shelf:
    """The playbooks of a pipeline without the service; bare, it is the bundled ones."""

    library: Library = field(default_factory=bundled)


class _Read(NamedTuple):
    """A playbook's calls, and what is known of it without a case."""

    called: dict[str, Playbook]
    facts: BookFacts


class RuledRuns:
    """What the pipeline asks before it decides, and does after. ``books`` is asked for its library every time."""

    def __init__(self, books: _HasLibrary) -> None:
        self._books = books
        self._read: tuple[Library, dict[str, _Read]] = (books.library, {})

    def found(
        self, policy: SignedPolicy | Policy, tenant: TenantSettings, case: Case, now: datetime
    ) -> dict[str, BookFacts]:
        """By rule, the playbook that it would start on this case; nothing is looked for that no rule would start."""
        plain = plain_policy(policy)
        return {
            rule.id: self._facts(rule.then.playbook, matching, tenant, case)
            for rule in plain.rules
            if rule.then.playbook is not None and not rule.expired(now) and (matching := hits(rule, case))
        }

    def _facts(
        self, wanted: StartPlaybook, matching: tuple[Alert, ...], tenant: TenantSettings, case: Case
    ) -> BookFacts:
        library = self._books.library
        book = library.get(wanted.id)
        if book is None:
            there = ", ".join(library.names) or "none"
            return BookFacts(unfit=(f"no playbook {wanted.id}; there are {there}",))
        called, known = self._found(book, library)
        if known.unfit:
            return known
        try:
            # Only what the matching alerts name: another alert of the case must not choose what is acted on.
            values = inputs_for(
                book,
                _named(wanted, book, matching),
                tenant=tenant.scope.slug,
                case_id=case.case_id,
                case=replace(case, alerts=matching),
            )
            return replace(
                known,
                variables=values,
                unfit=tuple(f"{one.key}: {one.message}" for one in unready(book, called, values, tenant)),
            )
        except ConfigError as error:
            return replace(known, unfit=tuple(f"{one.key}: {one.message}" for one in error.problems))

    def _found(self, book: Playbook, library: Library) -> _Read:
        """What is the same for every case, worked out once: hashing and checking cost more than a decision."""
        if self._read[0] is not library:
            self._read = (library, {})
        if book.id not in self._read[1]:
            called = called_by(book, library.get)
            faults = tuple(f"{fault.pointer}: {fault.message}" for fault in faults_in(book, library.get))
            self._read[1][book.id] = _Read(called, BookFacts(book.name, content_of(book, called), unfit=faults))
        return self._read[1][book.id]

    def follow(self, conn: Connection, decision: Decision) -> list[str]:
        """The runs of what this decision starts, in its transaction; one that the case has already is not repeated."""
        if not decision.starts:
            return []
        known = table.runs(conn, decision.tenant, case_id=decision.case_id, limit=_MOST)
        fresh = [start for start in decision.starts if not any(_same(start, run) for run in known)]
        return [self._begin(conn, decision, start) for start in fresh]

    def _begin(self, conn: Connection, decision: Decision, start: PlaybookStart) -> str:
        book = self._books.library.playbooks[start.playbook]
        run_id = table.new_run_id(conn, decision.tenant)
        run = begin(
            book,
            called_by(book, self._books.library.get),
            tenant=decision.tenant,
            run_id=run_id,
            case_id=decision.case_id,
            started_by=AUTONOMY,
            variables=start.variables,
            now=decision.decided_at,
            mandate=Mandate(decision.decision_id, start.rules, start.sha256, start.variables),
        )
        table.add_run(conn, run)
        detail = {
            "run_id": run_id,
            "playbook": start.playbook,
            "sha256": start.sha256,
            "case_id": decision.case_id,
            "decision_id": decision.decision_id,
            "rules": list(start.rules),
            "variables": dict(start.variables),
        }
        at = decision.decided_at
        audit.append(conn, tenant=decision.tenant, at=at, actor=AUTONOMY, event="playbook.start", detail=detail)
        return run_id


def halts(conn: Connection, run: Run) -> list[Stopped]:
    """The end of a rule's run whose rule, tenant or whole machine a person has stopped."""
    if run.mandate is None or run.state is not RunState.RUNNING:
        return []
    position = halted_by(run, switches.positions(conn, run.tenant))
    return [] if position is None else [Stopped(position.author, f"{position.switch}: {position.reason}")]


def terms_for(
    conn: Connection, run: Run, wish: Act, wanted: Verb, target: Target, tenant: TenantSettings, now: datetime
) -> Terms:
    """On what terms a rule's run may ask for that action, by what holds now."""
    case_id = links.standing(conn, run.tenant, run.case_id)  # it may have been merged into another since
    latest = decisions.latest_decisions(conn, run.tenant, [case_id]).get(case_id)
    happened = activity(conn, run.tenant, now)
    context = DecisionContext(
        hosts_last_hour=happened.hosts_hour,
        hosts_last_day=happened.hosts_day,
        accounts_last_hour=happened.accounts_hour,
        indicators_last_hour=happened.indicators_hour,
        fleet_size=tenant.namesakes.hosts,
        assets=tenant.assets,
        limits=tenant.limits,
    )
    lease = containment_lease(wanted.name, tenant)
    if lease is not None and wish.lease is not None:
        lease = min(lease, wish.lease)
    return terms(
        run,
        standing_of(run, tenant.policy, latest, now),
        wanted,
        target,
        plain_policy(tenant.policy),
        context,
        switches.positions(conn, run.tenant),
        lease,
    )


def _same(start: PlaybookStart, run: Run) -> bool:
    """A rule's run however it ended, a person's as long as it goes on."""
    if run.playbook_id != start.playbook:
        return False
    if run.mandate is not None:
        return own_inputs(run, run.mandate.inputs) == own_inputs(run, start.variables)
    values = run.variables.get(ROOT_PATH, {})
    return run.state is RunState.RUNNING and all(
        values.get(name) == text for name, text in own_inputs(run, start.variables).items()
    )


def _named(wanted: StartPlaybook, book: Playbook, matching: tuple[Alert, ...]) -> dict[str, str]:
    """The inputs that the rule chooses by a role or kind. Raises ConfigError unless the alerts name exactly one."""
    kinds = book.header.inputs
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for name, word in wanted.inputs.items():
        kind = FROM_CASE.get(kinds.get(name, "text"))
        found = {
            entity.value
            for alert in matching
            for entity in alert.entities
            if word in {entity.kind.value, entity.role} and kind in {None, entity.kind}
        }
        if len(found) == 1:
            values[name] = found.pop()
        else:
            shown = f": {', '.join(sorted(found)[:5])}" if found else ""
            problems.append(Problem("inputs", name, f"the alerts name {len(found)} of {word}{shown}; one is needed"))
    if problems:
        raise ConfigError(problems)
    return values

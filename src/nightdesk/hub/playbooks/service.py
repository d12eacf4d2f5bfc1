"""Playbooks of every tenant: started, carried on, answered, stopped, undone.

One look at a run is one transaction: the run as it is afterwards, and the actions it asked for, are stored together
or not at all. So a killed process leaves no wish without its run and no run without its wish (law 4), and two workers
never both make one move. A playbook lowers no bar: up to R1 the command is the person's who started the run, everything
from R2 up waits for a second person, and the engine's guards are asked for each action all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.playbooks.content import called_by
from nightdesk.autonomy.playbooks.effects import told
from nightdesk.autonomy.playbooks.interpreter import advance
from nightdesk.autonomy.playbooks.library import Library, bundled, read_files
from nightdesk.autonomy.playbooks.mandate import Terms
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.run import (
    Act,
    Answered,
    Ask,
    Event,
    Left,
    Phase,
    Run,
    RunState,
    Stopped,
    Told,
    Withdraw,
)
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.autonomy.playbooks.standing import begin, step_of, waiting_for
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.proposals import Approval, Proposals
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.approvals.settings import rules_of
from nightdesk.hub.config import HubSettings, TenantSettings
from nightdesk.hub.playbooks.questions import asked_of, key_named, questions, still_open
from nightdesk.hub.playbooks.readiness import inputs_for, offered, unready
from nightdesk.hub.playbooks.ruled import halts, terms_for
from nightdesk.hub.store import Store, audit, cases
from nightdesk.hub.store import playbooks as table
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.prior import Joined
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ConfigError, NightdeskError, PolicyError, Problem, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind, verb

__all__ = ["Playbooks", "library_of", "questions"]

_log = structlog.get_logger(__name__)
_S = ActionState
_LEASE = timedelta(hours=4)
_UNSENT = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED})
_GONE = frozenset({_S.FAILED, _S.CANCELLED, _S.REJECTED, _S.UNDONE})
_MOST_LOOKS = 10_000  # of one run at one time: a document that gets past the checks must not hold up the others


class Playbooks:
    """The service. Every method blocks; async code calls it in a thread."""

    def __init__(
        self,
        settings: HubSettings,
        store: Store,
        library: Library,
        clock: Clock,
        on_attention: Callable[[Action, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self.library = library
        self._clock = clock
        self._on_attention = on_attention or (lambda *_: None)
        self.policy_of: Callable[[Connection, TenantSettings], SignedPolicy | Policy] = lambda _, tenant: tenant.policy

    @property
    def tenants(self) -> Mapping[str, TenantSettings]:
        """Every tenant with what it has bound."""
        return self._settings.tenants

    # What people do.

    def prepared(
        self, tenant: str, playbook: Playbook, *, case_id: str, by: str, given: Mapping[str, str]
    ) -> tuple[dict[str, Playbook], dict[str, str]]:
        """The playbooks it calls and the values of its inputs. Raises ConfigError with all that stands against it."""
        if tenant not in self._settings.tenants:
            raise ConfigError([Problem("--tenant", tenant, f"there are {', '.join(self._settings.tenants)}")])
        if not by or not case_id:
            raise PolicyError("a run names the person who starts it and the case it is for")
        faults = faults_in(playbook, self.library.get)
        if faults:
            raise ConfigError([Problem(playbook.name, fault.pointer, fault.message) for fault in faults])
        called = called_by(playbook, self.library.get)
        with self._store.read() as conn:
            case = cases.case(conn, tenant, case_id)
        values = inputs_for(playbook, given, tenant=tenant, case_id=case_id, case=case)
        problems = list(unready(playbook, called, values, self._settings.tenants[tenant]))
        if problems:
            raise ConfigError(problems)
        return called, values

    def start(self, tenant: str, playbook: Playbook, *, case_id: str, by: str, given: Mapping[str, str]) -> Run:
        """A new run, as far as it goes at once. Raises ConfigError as ``prepared`` does, and then has done nothing."""
        called, values = self.prepared(tenant, playbook, case_id=case_id, by=by, given=given)

        def work(conn: Connection) -> str:
            now, run_id = self._clock(), table.new_run_id(conn, tenant)
            facts: dict[str, Any] = {"tenant": tenant, "run_id": run_id, "case_id": case_id, "started_by": by}
            table.add_run(conn, begin(playbook, called, **facts, variables=values, now=now))
            detail = {"run_id": run_id, "playbook": playbook.id, "case_id": case_id, "variables": values}
            audit.append(conn, tenant=tenant, at=now, actor=by, event="playbook.start", detail=detail)
            return run_id

        run_id = self._store.transact(work)
        self._move(tenant, run_id)
        return self.run(tenant, run_id)

    def answer(  # an answer has this many parts
        self, tenant: str, run_id: str, step: str, *, by: str, text: str, done: bool = True, shown: str = ""
    ) -> Run:
        """A person's answer to a manual step, named by its key, id or name; ``shown`` is the digest of what they saw.

        Raises UnsupportedError for what is not asked or no answer to it, PolicyError when it is too late.
        """
        if not by:
            raise PolicyError(f"{run_id}: an answer names the person who gives it")
        key = key_named(self.run(tenant, run_id), step)
        detail = {"run_id": run_id, "key": key, "answer": text, "done": done}
        check = partial(still_open, key=key, text=text if done else None, shown=shown)
        self._move(tenant, run_id, (Answered(key, by, text, done),), note=("playbook.answer", by, detail), check=check)
        return self.run(tenant, run_id)

    def stop(self, tenant: str, run_id: str, *, by: str, why: str = "") -> Run:
        """Ends a run: what was not sent yet is taken back, what is in force stays until it is undone."""
        if self.run(tenant, run_id).state is RunState.RUNNING:
            detail = {"run_id": run_id, "why": why}
            self._move(tenant, run_id, (Stopped(by, why),), note=("playbook.stop", by, detail))
        return self.run(tenant, run_id)

    def stop_all(self, tenant: str, *, by: str, why: str, case_id: str = "") -> list[Run]:
        """Ends every run of that case, or of the tenant: what is taken back must not be done again behind it."""
        with self._store.read() as conn:
            going_on = [stored.run.run_id for stored in table.running(conn, [tenant])]
            of_case = [run.run_id for run in table.runs(conn, tenant, case_id=case_id, limit=_MOST_LOOKS)]
        return [self.stop(tenant, run_id, by=by, why=why) for run_id in going_on if not case_id or run_id in of_case]

    def run(self, tenant: str, run_id: str) -> Run:
        """One run of that tenant. Raises UnsupportedError."""
        with self._store.read() as conn:
            found = table.run_of(conn, tenant, run_id)
        if found is None:
            raise UnsupportedError(f"{tenant}: no run {run_id}")
        return found.run

    def actions(self, run: Run) -> Sequence[Action]:
        """What the run asked for and got an action of its own for, oldest first.

        An action that stood already for the same wish of the case is somebody else's, and not undone with the run.
        """
        journal = SqlJournal(self._store)
        found = [journal.get(run.tenant, action_id) for action_id in run.actions]
        return [one for one in found if one is not None and one.decision_id.startswith(f"{run.run_id}/")]

    def shown(self, run: Run) -> dict[str, Any]:
        """The run as people read it: JSON values, with what it waits for and what moves it on."""
        journal = SqlJournal(self._store)
        asked = {one.key: one for one in asked_of(run)}
        waiting = []
        for key, (_, branch) in waiting_for(run).items():
            step = step_of(run, branch)
            row: dict[str, Any] = {
                "key": key,
                "step": branch.step,
                "name": step.name or branch.step,
                "since": branch.began_at,
            }
            if key in asked:
                text, answers, digest = asked[key].text, asked[key].answers, asked[key].digest
                row |= {"person": True, "text": text, "answers": answers, "next": f"answer: {' | '.join(answers)}"}
                row |= {"digest": digest}
            else:
                action = journal.get(run.tenant, branch.action_id) if branch.action_id else None
                state = action.state.value if action else "not proposed yet"
                approval = action is not None and action.state is _S.AWAITING_APPROVAL
                text = f"{action.verb} {action.target.key}: {state}" if action else state
                then = f"nightdesk approve {action.action_id}" if action and approval else ""
                row |= {"person": approval, "text": text, "answers": (), "next": then, "action_id": branch.action_id}
            waiting.append(row)
        return {
            "run_id": run.run_id,
            "tenant": run.tenant,
            "case_id": run.case_id,
            "playbook_id": run.playbook_id,
            "playbook": run.documents[run.playbook_id]["name"],
            "state": run.state,
            "problem": run.problem,
            "started_by": run.started_by,
            "mandate": run.mandate,
            "started_at": run.started_at,
            "updated_at": run.updated_at,
            "variables": run.variables.get("0", {}),
            "visits": run.visits,
            "waiting": waiting,
        }

    def waits_for_people(self, run: Run) -> bool:
        """Whether nothing but a person moves it on now."""
        if any(branch.phase is Phase.ENTERED for branch in run.branches.values()):
            return False
        return all(row["person"] for row in self.shown(run)["waiting"])

    # What the hub does.

    def step(self) -> int:
        """One look at every run that is not over; how many of them moved."""
        with self._store.read() as conn:
            waiting = table.running(conn, list(self._settings.tenants))
        moved = 0
        for stored in waiting:
            run = stored.run
            events = self._events(SqlJournal(self._store), run)
            if run.mandate is not None:
                with self._store.read() as conn:
                    events += halts(conn, run)
            if advance(run, events, self._clock()) == (run, ()):
                continue
            try:
                moved += self._move(run.tenant, run.run_id)
            except NightdeskError as error:  # one run must not hold up the others; it is looked at again
                _log.warning("playbook", tenant=run.tenant, run=run.run_id, problem=str(error))
        return moved

    def _move(
        self,
        tenant: str,
        run_id: str,
        events: Sequence[Event] = (),
        *,
        note: tuple[str, str, Mapping[str, object]] | None = None,
        check: Callable[[Run], None] = lambda _: None,
    ) -> bool:
        """One look at one run, in one transaction; whether anything moved. What ``check`` raises undoes all of it."""
        calls: list[tuple[Action, str]] = []

        def work(conn: Connection) -> bool:
            calls.clear()
            stored = table.run_of(conn, tenant, run_id, to_change=True)
            if stored is not None:
                check(stored.run)
            if stored is None or stored.run.state is not RunState.RUNNING:
                return False
            journal = SqlJournal(Joined(self._store, conn))
            ledger = Ledger(journal, self._clock, lambda action, text: calls.append((action, text)))
            run = self._look(conn, stored.run, journal, self._proposals(ledger), events)
            if run == stored.run:
                return False
            table.save_run(conn, stored, run)
            if note is not None:
                event, actor, detail = note
                audit.append(conn, tenant=tenant, at=self._clock(), actor=actor, event=event, detail=detail)
            if run.state is not RunState.RUNNING:
                detail = {"run_id": run_id, "state": str(run.state), "problem": run.problem}
                audit.append(
                    conn, tenant=tenant, at=self._clock(), actor="playbooks", event="playbook.end", detail=detail
                )
            return True

        moved = self._store.transact(work)
        for action, text in calls:
            self._on_attention(action, text)
        return moved

    def _look(
        self, conn: Connection, run: Run, journal: SqlJournal, proposals: Proposals, given: Sequence[Event]
    ) -> Run:
        events: list[Event] = [*self._events(journal, run), *given, *halts(conn, run)]
        for _ in range(_MOST_LOOKS):
            run, wishes = advance(run, events, self._clock())
            events = []
            for wish in wishes:
                if isinstance(wish, Act):
                    events.append(self._propose(conn, run, wish, journal, proposals))
                elif isinstance(wish, Withdraw):
                    self._withdraw(run, wish, journal, proposals)
                else:
                    self._ask(conn, run, wish)
            if not events:
                return run
        raise PolicyError(f"{run.run_id}: gets nowhere; stop it and report the playbook")

    def _proposals(self, ledger: Ledger) -> Proposals:
        """As many people are asked as the tenant says, whoever wants it."""
        rules = partial(rules_of, self._settings.tenants)
        return Proposals(ledger, default_lease=_LEASE, rules=rules, shared=self._settings.shared)

    @staticmethod
    def _events(journal: SqlJournal, run: Run) -> list[Event]:
        found: list[Event] = []
        for key, (_, branch) in waiting_for(run).items():
            action = journal.get(run.tenant, branch.action_id) if branch.action_id else None
            if action is not None:
                found.append(told(key, action))
        return found

    def _propose(self, conn: Connection, run: Run, wish: Act, journal: SqlJournal, proposals: Proposals) -> Told | Left:
        """The action of that wish: the one it became already, or a new one."""
        wanted = verb(wish.verb)
        lack = offered(self._settings.tenants[run.tenant], wanted)
        if lack:
            bound = wanted.role in self._settings.tenants[run.tenant].roles
            out = wish.skippable if bound else wanted.role in wish.optional_roles
            return Left(wish.key, "skipped" if out else "refused", lack)
        of_case = journal.of_case(run.tenant, run.case_id)
        known = next((one for one in of_case if one.decision_id == wish.key), None)
        if known is None and wish.verb == "case.open":
            # A case has one ticket, whoever opened it.
            known = next((one for one in of_case if one.verb == wish.verb and one.state not in _GONE), None)
        if known is not None:
            return told(wish.key, known)
        target, rules = _with_ticket(wish.target, of_case), run.mandate.rules if run.mandate else ()
        asked = Terms(Approval.DIRECT if wanted.risk <= Risk.R1 else Approval.HUMAN, wish.lease)
        if run.mandate is not None:
            tenant = self._settings.tenants[run.tenant]
            tenant = replace(tenant, policy=self.policy_of(conn, tenant))
            asked = terms_for(conn, run, wish, wanted, target, tenant, self._clock())
        if asked.refused:
            return Left(wish.key, "refused", asked.refused)
        try:
            action = proposals.propose(
                run.tenant,
                wish.verb,
                target,
                requested_by=run.started_by,
                approval=asked.approval,
                case_id=run.case_id,
                decision_id=wish.key,
                parameters=wish.parameters,
                reason=wish.reason,
                lease=asked.lease,
                accept_losses=wish.accept_losses,
                rules=rules,
            )
        except (PolicyError, UnsupportedError) as error:
            return Left(wish.key, "refused", str(error))
        return told(wish.key, action)

    def _withdraw(self, run: Run, wish: Withdraw, journal: SqlJournal, proposals: Proposals) -> None:
        action = journal.get(run.tenant, wish.action_id)
        if action is not None and action.state in _UNSENT and action.decision_id == wish.key:
            proposals.cancel(action, "playbooks", wish.why)

    def _ask(self, conn: Connection, run: Run, wish: Ask) -> None:
        _log.warning("playbook asks", tenant=run.tenant, run=run.run_id, key=wish.key, text=wish.text)
        detail = {"run_id": run.run_id, "case_id": run.case_id, "key": wish.key, "text": wish.text}
        audit.append(
            conn, tenant=run.tenant, at=self._clock(), actor="playbooks", event="playbook.question", detail=detail
        )


def library_of(settings: HubSettings) -> Library:
    """The bundled playbooks and the operator's. Raises ConfigError for a file of theirs that cannot be read."""
    return read_files([settings.playbooks], beside=bundled()) if settings.playbooks else bundled()


def _with_ticket(target: Target, of_case: Sequence[Action]) -> Target:
    """A ticket is found by the id it got when it was opened."""
    if target.kind is not TargetKind.CASE:
        return target
    opened = next((one for one in of_case if one.verb == "case.open" and one.state not in _GONE), None)
    ticket = str(opened.result.get("native_action_id", "")) if opened else ""
    return Target(target.kind, target.value, {**target.facts, "ticket": ticket}) if ticket else target

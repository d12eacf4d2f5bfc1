"""What the pages of playbooks show: which are ready on the bound vendors, their runs, and who waits for what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from nightdesk.autonomy.actions import ActionState, Journal
from nightdesk.autonomy.approvals import Request
from nightdesk.autonomy.playbooks.commands import HTTP
from nightdesk.autonomy.playbooks.content import called_by, content_of
from nightdesk.autonomy.playbooks.library import Library, bundled
from nightdesk.autonomy.playbooks.model import Action, Playbook
from nightdesk.autonomy.playbooks.run import Phase, Run, RunState
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.autonomy.playbooks.standing import book_of, started_by, step_of, waiting_for
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.console.flow_words import OUTCOMES, Standing
from nightdesk.hub.console.veil import Veil
from nightdesk.hub.console.words import STATE, STATE_TONE, count, verb_name
from nightdesk.hub.playbooks.questions import questions
from nightdesk.hub.playbooks.readiness import left_out, unready

__all__ = [
    "BookRow",
    "RunRow",
    "book_row",
    "book_url",
    "books_of",
    "run_row",
    "run_url",
    "standings_of",
    "waiting_rows",
    "waits_of",
]

_TONE: Mapping[RunState, str] = {
    RunState.RUNNING: "calm",
    RunState.COMPLETED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "neutral",
}
_WORD: Mapping[RunState, str] = {
    RunState.RUNNING: "Running",
    RunState.COMPLETED: "Completed",
    RunState.FAILED: "Failed",
    RunState.CANCELLED: "Stopped",
}
_ANSWERS = "An analyst, an approver or an admin"


@dataclass(frozen=True, slots=True)
class BookRow:
    """One playbook. ``problems``: why it cannot be started here; ``without``: what it would do without."""

    url: str
    key: str
    short: str
    name: str
    purpose: str
    origin: str
    techniques: tuple[str, ...]
    inputs: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    without: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list."""

    url: str
    run_id: str
    playbook: str
    case_id: str
    case_url: str
    state: str
    tone: str
    problem: str
    started_by: str
    started_at: datetime
    updated_at: datetime
    done: str
    waits: str
    for_person: bool


def book_url(playbook_id: str) -> str:
    """The page of a playbook."""
    return f"/console/playbooks/books/{quote(playbook_id, safe='')}"


def run_url(run_id: str) -> str:
    """The page of a run."""
    return f"/console/playbooks/runs/{quote(run_id, safe='')}"


def book_row(book: Playbook, library: Library, tenant: TenantSettings | None) -> BookRow:
    """A playbook as it stands for that tenant, before any case is known."""
    called = called_by(book, library.get)
    header = book.header
    problems = [f"{fault.pointer}: {fault.message}" for fault in faults_in(book, library.get)]
    without: list[str] = []
    if tenant is None:
        problems.append("this tenant is not in the hub's configuration")
    elif not problems:
        names = {
            f"/workflow/{key}": step.name for one in (book, *called.values()) for key, step in one.workflow.items()
        }
        problems += [f"{names.get(one.key) or one.key}: {one.message}" for one in unready(book, called, {}, tenant)]
        without += list(dict.fromkeys(left_out(book, called, tenant)))
    return BookRow(
        book_url(book.id),
        book.id,
        library.name_of(book.id),
        book.name,
        header.purpose,
        "bundled" if book.id in bundled().playbooks else "your own",
        header.techniques,
        tuple(header.inputs.items()),
        tuple(problems),
        tuple(without),
        content_of(book, called),
    )


def run_row(run: Run, waiting: Sequence[Mapping[str, Any]] = ()) -> RunRow:
    """A run in a list; ``waiting`` as the service tells it."""
    people = [str(row["name"]) for row in waiting if row["person"]]
    others = [str(row["name"]) for row in waiting if not row["person"]]
    waits = f"A person: {', '.join(people)}" if people else f"Connectors: {', '.join(others)}" if others else ""
    return RunRow(
        run_url(run.run_id),
        run.run_id,
        str(run.documents[run.playbook_id]["name"]),
        run.case_id,
        f"/console/cases/{quote(run.case_id, safe='')}",
        _WORD[run.state],
        _TONE[run.state],
        Veil(run).text(run.problem),
        started_by(run),
        run.started_at,
        run.updated_at,
        count(len(run.visits), "step"),
        waits,
        bool(people),
    )


def waits_of(run: Run, states: Mapping[str, ActionState]) -> list[dict[str, Any]]:
    """What it waits for, as far as a line in a list needs it; ``states`` of its actions."""
    asked = {key for key, _, _ in questions(run)}
    return [
        {
            "name": step_of(run, branch).name or branch.step,
            "person": key in asked or states.get(branch.action_id) is ActionState.AWAITING_APPROVAL,
        }
        for key, (_, branch) in waiting_for(run).items()
    ]


def standings_of(run: Run, journal: Journal) -> dict[str, Standing]:
    """By step, how it stands: its last visit, or what it does now."""
    times = Counter(visit.step for visit in run.visits)
    found = {visit.step: OUTCOMES.get(visit.outcome, Standing(visit.outcome, "neutral", "–")) for visit in run.visits}
    found = {
        step: replace(one, word=f"{one.word} × {times[step]}") if times[step] > 1 else one
        for step, one in found.items()
    }
    for branch in run.branches.values():
        if branch.phase is Phase.ENTERED:
            found[branch.step] = Standing("Not begun yet", "calm", "…")
        elif branch.phase is Phase.INSIDE:
            found[branch.step] = Standing("Going on", "calm", "…")
        elif branch.phase is Phase.WAITING:
            step = step_of(run, branch)
            if isinstance(step, Action) and step.commands[branch.command].type != HTTP:
                found[branch.step] = Standing("Waits for an answer", "warn", "!")
                continue
            action = journal.get(run.tenant, branch.action_id) if branch.action_id else None
            if action is None:
                found[branch.step] = Standing("About to be asked for", "calm", "…")
            elif action.state is ActionState.AWAITING_APPROVAL:
                found[branch.step] = Standing("Waits for an approval", "warn", "!")
            else:
                found[branch.step] = Standing(STATE[action.state], STATE_TONE[action.state], "…")
    return found


def waiting_rows(run: Run, shown: Mapping[str, Any], journal: Journal, *, may: bool) -> list[dict[str, Any]]:
    """Who waits for what, each with who can move it on and how; ``may``: whoever looks may answer."""
    rows = []
    for row in shown["waiting"]:
        who, link, how = "The connector", ("", ""), "nothing is to be done: it is looked at again by itself"
        action = journal.get(run.tenant, row["action_id"]) if row.get("action_id") else None
        text = str(row["text"])
        if action is not None:
            text = f"{verb_name(action.verb)} {action.target.value}: {STATE[action.state].lower()}"
        if action is not None and row["person"]:
            request = Request.of(action)
            missing = request.missing if request else 1
            who, link = f"{count(missing, 'more approver')}", ("/console/approvals", "Approvals")
            how = f"nightdesk approve {action.action_id}"
        elif row["person"]:
            given = " | ".join(row["answers"]) or "TEXT"
            who, how = _ANSWERS, f'nightdesk playbook answer {run.run_id} "{row["name"]}" --answer "{given}"'
            # An address of its own, so that following it makes the page anew, with the form.
            short = row["digest"][:12]
            link = (f"{run_url(run.run_id)}?at={short}#answer-{short}", "Answer") if may else link
        elif action is not None and action.instance:
            who = f"The connector {action.instance}"
        rows.append({**row, "text": text, "who": who, "link": link[0], "label": link[1], "how": how})
    return rows


def books_of(run: Run) -> list[Playbook]:
    """The playbook it was started with, then those that it calls, as the run keeps them."""
    others = sorted(key for key in run.documents if key != run.playbook_id)
    return [book_of(run, key) for key in (run.playbook_id, *others)]

"""What the page of one run shows beside its drawing: the forms, the actions of each step, the journal on one line."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from nightdesk.autonomy.actions import Action, JournalEntry
from nightdesk.autonomy.playbooks.run import Phase, Run, RunState
from nightdesk.autonomy.playbooks.standing import started_by, step_of
from nightdesk.hub.console.flow_words import OUTCOMES, Standing
from nightdesk.hub.console.presentation import case_url
from nightdesk.hub.console.timeline import MOST, Happening, timeline
from nightdesk.hub.console.veil import Veil, is_secret
from nightdesk.hub.console.words import STATE, STATE_TONE, verb_name
from nightdesk.hub.playbooks.questions import Question, asked_of

__all__ = ["FormView", "StepActionView", "StepView", "forms_of", "happenings_of", "steps_of", "version_of"]

_ENDS: Mapping[RunState, tuple[str, str]] = {
    RunState.COMPLETED: ("Completed", "good"),
    RunState.FAILED: ("Failed", "bad"),
    RunState.CANCELLED: ("Stopped", "neutral"),
}


@dataclass(frozen=True, slots=True)
class FormView:
    """One question as it is asked; what is sent back names it by its digest and an answer by its number."""

    anchor: str
    key: str
    digest: str
    name: str
    text: str
    answers: tuple[str, ...]
    since: datetime | None
    secret: bool


@dataclass(frozen=True, slots=True)
class StepActionView:
    """One action of a step; ``shared`` when somebody had asked for the same before, so the run does not undo it."""

    title: str
    target: str
    state: str
    tone: str
    url: str
    action_id: str
    asked_at: datetime
    moved_at: datetime
    error: str
    shared: bool


@dataclass(frozen=True, slots=True)
class StepView:
    """One step that was entered; ``left_at`` is None while it goes on."""

    name: str
    standing: Standing
    entered_at: datetime
    left_at: datetime | None
    note: str
    actions: tuple[StepActionView, ...]


def forms_of(run: Run, veil: Veil) -> list[FormView]:
    """Everything that a person is asked now."""
    return [_form(one, veil) for one in asked_of(run)]


def version_of(run: Run) -> str:
    """Changes whenever what people are asked does: an open page compares itself with it."""
    return hashlib.sha256(" ".join(sorted(one.digest for one in asked_of(run))).encode()).hexdigest()[:16]


def steps_of(run: Run, standings: Mapping[str, Standing], actions: Mapping[str, Action], veil: Veil) -> list[StepView]:
    """Every step that was done, then those that go on, each with what it asked for; ``actions`` are by id."""
    found = [
        StepView(
            visit.name,
            OUTCOMES.get(visit.outcome, Standing(visit.outcome, "neutral", "–")),
            visit.entered_at,
            visit.left_at,
            veil.note(visit),
            _actions(run, visit.actions, actions, veil),
        )
        for visit in run.visits
    ]
    for branch in run.branches.values():
        if branch.phase is Phase.ENDED:
            continue
        step = step_of(run, branch)
        asked = (branch.action_id,) if branch.action_id else ()
        standing = standings[branch.step]
        begun = branch.began_at or branch.entered_at
        name = step.name or branch.step
        found.append(StepView(name, standing, begun, None, "", _actions(run, asked, actions, veil)))
    return found


def happenings_of(
    run: Run, actions: Mapping[str, Action], journal: Mapping[str, Sequence[JournalEntry]], veil: Veil
) -> tuple[list[Happening], int]:
    """The run on one line of time, oldest first; and how many of the oldest were left out to keep the page short."""
    line = [Happening(run.started_at, "decision", "calm", "Started", f"by {started_by(run)}")]
    told: set[str] = set()

    def tell(ids: Sequence[str]) -> None:
        """What became of these actions, each told once."""
        new = [actions[one] for one in ids if one in actions and one not in told]
        told.update(ids)
        line.extend(_masked(one, veil) for one in timeline((), (), new, journal)[0])

    for visit in run.visits:
        tell(visit.actions)
        standing = OUTCOMES.get(visit.outcome, Standing(visit.outcome, "neutral", "–"))
        line.append(Happening(visit.left_at, "step", standing.tone, standing.word, visit.name, veil.note(visit)))
    tell(run.actions)
    for one in asked_of(run):
        since = one.since or run.updated_at
        line.append(Happening(since, "step", "warn", "Asks a person", one.name, veil.text(one.text)))
    if run.state in _ENDS:
        word, tone = _ENDS[run.state]
        line.append(Happening(run.updated_at, "decision", tone, word, veil.text(run.problem)))
    # Stable: what happened at one moment stays in the order in which it is told above.
    line.sort(key=lambda one: one.at)
    return line[-MOST:], max(0, len(line) - MOST)


def _form(question: Question, veil: Veil) -> FormView:
    return FormView(
        f"answer-{question.digest[:12]}",
        question.key,
        question.digest,
        question.name,
        veil.text(question.text),
        question.answers,
        question.since,
        is_secret(question.into),
    )


def _actions(run: Run, ids: Sequence[str], actions: Mapping[str, Action], veil: Veil) -> tuple[StepActionView, ...]:
    return tuple(
        StepActionView(
            verb_name(one.verb),
            veil.text(one.target.value),
            STATE[one.state],
            STATE_TONE[one.state],
            f"{case_url(run.case_id)}#action-{quote(one.action_id, safe='')}",
            one.action_id,
            one.created_at,
            one.updated_at,
            veil.text(one.error),
            not one.decision_id.startswith(f"{run.run_id}/"),
        )
        for action_id in ids
        if (one := actions.get(action_id)) is not None
    )


def _masked(one: Happening, veil: Veil) -> Happening:
    return Happening(one.at, one.kind, one.tone, one.label, veil.text(one.text), veil.text(one.detail))

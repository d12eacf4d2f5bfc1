"""What runs ask people: each question with a digest of what it says, and whether an answer to it still counts.

An answer is to what was shown (as an approval is): a question whose text was filled in with another value meanwhile is
another question. Whoever comes second, or too late, changes nothing and hears why.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from nightdesk.autonomy.playbooks.commands import MANUAL, manual_text
from nightdesk.autonomy.playbooks.model import Action as ActionStep
from nightdesk.autonomy.playbooks.model import settings_of
from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.autonomy.playbooks.standing import step_of, waiting_for
from nightdesk.autonomy.playbooks.variables import filled, with_values
from nightdesk.sdk.errors import PolicyError, UnsupportedError

__all__ = ["Question", "asked_of", "key_named", "questions", "still_open"]


@dataclass(frozen=True, slots=True)
class Question:
    """A manual step that waits. ``answers``: all there are, none for free text; ``into``: the variable it sets."""

    key: str
    step: str
    name: str
    text: str
    answers: tuple[str, ...]
    into: str
    since: datetime | None

    @property
    def digest(self) -> str:
        """Of what a person is shown: the question, at its place in its run, and its answers."""
        # json escapes what no encoding has (a lone surrogate in a value), where others refuse it.
        return hashlib.sha256(json.dumps([self.key, self.text, self.answers]).encode()).hexdigest()


def questions(run: Run) -> list[tuple[str, ActionStep, tuple[str, str]]]:
    """Every manual step that waits: its key, the step, and the id and name it may be called by."""
    found = []
    for key, (_, branch) in waiting_for(run).items():
        step = step_of(run, branch)
        if isinstance(step, ActionStep) and step.commands[branch.command].type == MANUAL:
            found.append((key, step, (branch.step, step.name)))
    return found


def asked_of(run: Run) -> list[Question]:
    """The same as people are asked it, with the values that the variables have now."""
    waiting, found = waiting_for(run), []
    for key, step, (step_id, name) in questions(run):
        _, branch = waiting[key]
        values = {**run.variables[branch.scope], **with_values(step.step_variables)}
        text = str(filled(manual_text(step.commands[branch.command]), values))
        into = step.out_args[0] if step.out_args else ""
        answers = settings_of(step).answers or ()
        found.append(Question(key, step_id, name or step_id, text, answers, into, branch.began_at))
    return found


def key_named(run: Run, named: str) -> str:
    """The key of the open question that is meant by its key, id or name. Raises UnsupportedError.

    A key is given back as it is, also when that question is closed by now: ``still_open`` knows why.
    """
    if named.startswith(f"{run.run_id}/"):
        return named
    meant = [key for key, _, names in questions(run) if named in names]
    if len(meant) != 1:
        there = ", ".join(sorted(key for key, _, _ in questions(run))) or "none"
        over = "" if run.state is RunState.RUNNING else f": it is over ({run.problem or run.state})"
        raise UnsupportedError(f"{run.run_id}: {named!r} names {len(meant)} open questions; there are {there}{over}")
    return meant[0]


def still_open(run: Run, *, key: str, text: str | None, shown: str = "") -> None:
    """Whether that answer counts now; ``text`` is None where the step could not be done, ``shown`` empty for unasked.

    Raises PolicyError when it is too late or the question was changed, UnsupportedError for what is no answer to it.
    """
    question = next((one for one in asked_of(run) if one.key == key), None)
    if question is None:
        raise _closed(run, key)
    if shown and shown != question.digest:
        raise PolicyError(
            f"{run.run_id}: {question.name} was changed since it was shown; read it again and answer that"
        )
    if text is not None and question.answers and text not in question.answers:
        raise UnsupportedError(f"{run.run_id}: answer one of {', '.join(question.answers)}, not {text!r}")


def _closed(run: Run, key: str) -> PolicyError | UnsupportedError:
    """Why that question takes no answer any more. What was answered is not repeated: it may be a secret."""
    visit = next((one for one in reversed(run.visits) if one.key == key), None)
    name = visit.name if visit else "it"
    if key in run.answers:
        said = f"{name} was answered meanwhile by {run.answers[key]}"
    elif run.state is not RunState.RUNNING:
        said = f"too late: the run is over ({run.problem or run.state})"
    elif visit is not None:
        said = f"too late: {name} waits no more ({visit.outcome})"
    elif any(f"/{step}" in key for book in run.documents.values() for step in book["workflow"]):
        said = "too late: the step is not asked any more"
    else:
        return UnsupportedError(f"{run.run_id}: {key!r} names no question")
    return PolicyError(f"{run.run_id}: {said}; this answer changes nothing")

"""Where a run stands: its beginning, the documents it keeps, the identity of what its steps do, who has to answer.

A branch has a path: ``0`` is the playbook's own, ``0.2`` the branch inside its second step with branches, ``0.2a`` and
``0.2b`` its branches when there are several. With the run and the step it is the identity of an effect.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from nightdesk.autonomy.playbooks.model import Action, Playbook, Step
from nightdesk.autonomy.playbooks.run import Branch, Mandate, Phase, Run
from nightdesk.autonomy.playbooks.variables import with_values

__all__ = [
    "ROOT_PATH",
    "begin",
    "book_of",
    "key_of",
    "letters",
    "order_of_work",
    "parent_of",
    "started_by",
    "step_of",
    "waiting_for",
]

ROOT_PATH = "0"


def begin(  # a run has this many facts
    playbook: Playbook,
    called: Mapping[str, Playbook],
    *,
    tenant: str,
    run_id: str,
    case_id: str,
    started_by: str,
    variables: Mapping[str, str],
    now: datetime,
    mandate: Mandate | None = None,
) -> Run:
    """A run that has done nothing yet; ``called`` are the playbooks that it calls, at whatever remove."""
    books = {playbook.id: playbook, **called}
    return Run(
        tenant=tenant,
        run_id=run_id,
        playbook_id=playbook.id,
        case_id=case_id,
        started_by=started_by,
        started_at=now,
        updated_at=now,
        documents={name: one.model_dump(mode="json", exclude_defaults=True) for name, one in books.items()},
        variables={ROOT_PATH: {**with_values(playbook.playbook_variables), **variables}},
        branches={ROOT_PATH: Branch(playbook.id, ROOT_PATH, playbook.workflow_start, now)},
        mandate=mandate,
    )


def started_by(run: Run) -> str:
    """On whose word it acts, as people read it."""
    if run.mandate is None:
        return run.started_by
    rules = f"rule{'s' if len(run.mandate.rules) > 1 else ''} {', '.join(run.mandate.rules)}"
    return f"{run.started_by} ({rules}, decision {run.mandate.decision_id})"


def key_of(run_id: str, path: str, branch: Branch, commands: int) -> str:
    """The identity of what a step does: the run, the place within it, the step, and which of its commands."""
    inside = "" if path == ROOT_PATH else f"/{path}"
    return f"{run_id}{inside}/{branch.step}" + (f"/{branch.command + 1}" if commands > 1 else "")


def waiting_for(run: Run) -> dict[str, tuple[str, Branch]]:
    """By key, every step at which a person or an action has to answer: its path and branch."""
    found = {}
    for path, branch in run.branches.items():
        if branch.phase is Phase.WAITING:
            step = step_of(run, branch)
            assert isinstance(step, Action)
            found[key_of(run.run_id, path, branch, len(step.commands))] = (path, branch)
    return found


def step_of(run: Run, branch: Branch) -> Step:
    """The step a branch is at."""
    return book_of(run, branch.playbook).workflow[branch.step]


def book_of(run: Run, playbook_id: str) -> Playbook:
    """The document as the run has it."""
    return _read(orjson.dumps(run.documents[playbook_id], option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=256)
def _read(document: bytes) -> Playbook:
    return Playbook.model_validate_json(document)


def parent_of(path: str) -> str:
    """The branch around it."""
    return path.rpartition(".")[0]


def order_of_work(path: str) -> tuple[Any, ...]:
    """Inner branches before the step round them, so that one look sees them ended."""
    parts = path.split(".")
    return (-len(parts), [(len(part), part) for part in parts])


def letters(number: int) -> str:
    """a, b, … z, aa, ab, …: sorts by length, then by letter."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text

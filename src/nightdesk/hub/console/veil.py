"""Keeps secrets of a run off the console: what a variable holds whose name says that it is one, wherever it is told.

CACAO has no type for secrets, so the name decides. What is hidden too much can be read with the command line.
"""

import re
from collections.abc import Mapping

from nightdesk.autonomy.playbooks.run import Run, Visit
from nightdesk.sdk.redaction import Redactor

__all__ = ["Veil", "is_secret"]

_SECRET = re.compile(r"passw|passphrase|pwd|secret|token|(api|private)[-_]?key|cookie", re.IGNORECASE)
"""A credential or an access key is named by its id, which is what actions are done to."""
_LEAST = 4
"""Letters of a value that is looked for in other texts: a shorter one is hidden in its own place only, since nearly
every text has it somewhere."""
_HIDDEN = "hidden: a secret by its name"


def is_secret(name: str) -> bool:
    """Whether a variable of that name is one nobody should read on a page."""
    return _SECRET.search(name) is not None


class Veil:
    """What is known to be secret in one run."""

    def __init__(self, run: Run) -> None:
        self._answered: dict[str, str] = {}
        values = [value for scope in run.variables.values() for name, value in scope.items() if is_secret(name)]
        sets: set[str] = set()
        for book in run.documents.values():
            values += _values(book.get("playbook_variables", {}))
            for step_id, step in book["workflow"].items():
                values += _values(step.get("step_variables", {}))
                if step["type"] == "action" and any(map(is_secret, (step.get("out_args") or ())[:1])):
                    sets.add(step_id)
        for visit in run.visits:
            # Also when its variable is gone: a call's are, once it is over.
            if visit.step in sets and visit.key in run.answers:
                self._answered[visit.key] = run.answers[visit.key]
                values.append(visit.note.removeprefix(f"{run.answers[visit.key]}: "))
        self._masks: list[Redactor] = []
        for value in sorted({one for one in values if len(one) >= _LEAST}, key=len, reverse=True):
            self._masks.append(Redactor())
            self._masks[-1].learn(value)

    def text(self, text: str) -> str:
        """The text without any of them."""
        for mask in self._masks:
            text = mask.mask(text)
        return text

    def note(self, visit: Visit) -> str:
        """What is said of a step that was done, without an answer that is a secret."""
        by = self._answered.get(visit.key)
        return self.text(visit.note) if by is None else f"{by}: ({_HIDDEN})"

    def variables(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """Names and values as they may be read."""
        return [
            (name, f"({_HIDDEN})" if is_secret(name) else self.text(text) or "–")
            for name, text in sorted(values.items())
        ]


def _values(declared: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [one["value"] for name, one in declared.items() if is_secret(name) and one.get("value")]

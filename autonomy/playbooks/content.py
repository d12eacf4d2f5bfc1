"""What a playbook is made of, itself and all that it calls, and the one hash of it: what was signed is what runs."""

from collections.abc import Callable, Mapping

from nightdesk.autonomy.canonical import fingerprint
from nightdesk.autonomy.playbooks.model import Call, Playbook

__all__ = ["called_by", "content_of"]


def called_by(playbook: Playbook, lookup: Callable[[str], Playbook | None]) -> dict[str, Playbook]:
    """Every playbook it calls, at whatever remove; one that is not there is left out."""
    found: dict[str, Playbook] = {}
    waiting = [playbook]
    while waiting:
        for step in waiting.pop().workflow.values():
            if isinstance(step, Call) and step.playbook_id not in found:
                other = lookup(step.playbook_id)
                if other is not None:
                    found[step.playbook_id] = other
                    waiting.append(other)
    return found


def content_of(playbook: Playbook, called: Mapping[str, Playbook]) -> str:
    """SHA-256 over the documents as a run keeps them. The same file with other spaces or key order has the same."""
    books = {**called, playbook.id: playbook}
    documents = {name: book.model_dump(mode="json", exclude_defaults=True) for name, book in books.items()}
    return fingerprint({"playbook": playbook.id, "documents": documents})

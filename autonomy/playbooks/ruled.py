"""What is wrong with the playbooks that a policy's rules name, as ``policy check`` tells it: before it is signed."""

from collections.abc import Iterator

from nightdesk.autonomy.playbooks.content import called_by, content_of
from nightdesk.autonomy.playbooks.library import Library
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.autonomy.policy import Policy, StartPlaybook
from nightdesk.autonomy.policy_faults import ROLE_KINDS
from nightdesk.sdk.case import EntityKind
from nightdesk.sdk.errors import Problem
from nightdesk.sdk.verbs import TargetKind

__all__ = ["FROM_CASE", "playbook_problems"]

FROM_CASE: dict[str, EntityKind] = {
    TargetKind.HOST: EntityKind.HOST,
    TargetKind.ACCOUNT: EntityKind.ACCOUNT,
    TargetKind.ADDRESS: EntityKind.ADDRESS,
    TargetKind.DOMAIN: EntityKind.DOMAIN,
    TargetKind.URL: EntityKind.URL,
    TargetKind.FILE: EntityKind.FILE,
    TargetKind.SENDER: EntityKind.EMAIL,
}
"""Kinds of inputs that a case's entities fill, by the entity's kind."""


def playbook_problems(policy: Policy, library: Library, *, file: str) -> list[Problem]:
    """Every fault, each at its rule. The tenant's binding is not asked: that is said of each case."""
    return [
        Problem(file, f"rules[{index}].then.playbook{key}", text)
        for index, rule in enumerate(policy.rules)
        if rule.then.playbook is not None
        for key, text in _faults(rule.then.playbook, library)
    ]


def _faults(wanted: StartPlaybook, library: Library) -> Iterator[tuple[str, str]]:
    book = library.get(wanted.id)
    if book is None:
        there = ", ".join(f"{library.name_of(key)} ({key})" for key in library.playbooks) or "none"
        yield ".id", f"no playbook {wanted.id}; there are {there}; --config names a configuration with more"
        return
    for fault in faults_in(book, library.get):
        yield ".id", f"the playbook {book.name} is not sound: {fault.pointer}: {fault.message}"
    now = content_of(book, called_by(book, library.get))
    if now != wanted.sha256:
        yield (
            ".sha256",
            (
                f"the playbook {book.name} has {now} and the rule {wanted.sha256[:12]}…: "
                "read what was changed, write its sha256 and have the policy signed again"
            ),
        )
    yield from _wrong_inputs(wanted, book)


def _wrong_inputs(wanted: StartPlaybook, book: Playbook) -> Iterator[tuple[str, str]]:
    kinds = book.header.inputs
    for name, word in wanted.inputs.items():
        variable = book.playbook_variables.get(name)
        if variable is None or not variable.external:
            yield f".inputs.{name}", f"is no input of {book.name}; it has {', '.join(kinds) or 'none'}"
            continue
        kind = FROM_CASE.get(kinds.get(name, "text"))
        named = ROLE_KINDS.get(word, EntityKind(word) if word in set(EntityKind) else None)
        if kinds.get(name) in {"case", "tenant"}:
            yield f".inputs.{name}", f"is the {kinds[name]} by itself: remove it"
        elif kind is not None and named is not None and kind is not named:
            yield f".inputs.{name}", f"takes a {kind}, and {word} is none"

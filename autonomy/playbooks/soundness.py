"""What the schema cannot see: whether every step means something, to the verbs, the roles and the other steps.

Each check yields faults with a JSON pointer; nothing here stops at the first.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from nightdesk.autonomy.playbooks.assignment import unassigned
from nightdesk.autonomy.playbooks.commands import HTTP, MANUAL, Order, checked_target, manual_text, order_of
from nightdesk.autonomy.playbooks.comparisons import Comparison, read_condition, tests_in
from nightdesk.autonomy.playbooks.model import (
    EXTENSION,
    Action,
    Call,
    Command,
    Condition,
    Header,
    Loop,
    Playbook,
    Start,
    Step,
    Switch,
    settings_of,
)
from nightdesk.autonomy.playbooks.pinning import admits
from nightdesk.autonomy.playbooks.structure import Fault, lay_out
from nightdesk.autonomy.playbooks.uses import switched
from nightdesk.autonomy.playbooks.variables import mentioned, misfit
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.verbs import DEPRECATED, VERSION, TargetKind

__all__ = ["INPUTS", "Lookup", "faults_in", "notes_on", "vendor_words"]

Lookup = Callable[[str], Playbook | None]
"""Finds another playbook by its id."""

INPUTS = frozenset({*map(str, TargetKind), "text"})
"""What an input may hold. ``case`` and ``tenant`` are filled by the run, the others from the case or by a person."""
_NOT_CARRIED = "is not executed by nightdesk: "


def faults_in(playbook: Playbook, lookup: Lookup) -> list[Fault]:
    """Everything that is wrong with it; empty: it may be run."""
    found = [*_header(playbook), *_whole(playbook)]
    layout = lay_out(playbook)
    found += layout.faults
    for name, step in playbook.workflow.items():
        found += _step(playbook, name, step, lookup)
    if not layout.faults:
        found += unassigned(playbook, layout)
    found += _circles(playbook, lookup)
    return found


def notes_on(playbook: Playbook) -> Iterator[Fault]:
    """What does not stop it and should be known: verbs that will go, a revoked document."""
    if playbook.revoked:
        yield Fault("/revoked", "its author has revoked it")
    for name, step in playbook.workflow.items():
        for number, command in enumerate(step.commands if isinstance(step, Action) else ()):
            with suppress(UnsupportedError):
                verb = order_of(command).verb.name if command.type == HTTP else ""
                if verb in DEPRECATED:
                    yield Fault(f"/workflow/{name}/commands/{number}", f"{verb} will go: {DEPRECATED[verb]}")


def _header(playbook: Playbook) -> Iterator[Fault]:
    where = f"/playbook_extensions/{EXTENSION}"
    if EXTENSION not in playbook.playbook_extensions:
        yield Fault("/playbook_extensions", f"lacks {EXTENSION} (x-nightdesk): it pins the verbs and names the roles")
        return
    try:
        header = playbook.header
    except ValidationError as error:
        for item in error.errors():
            yield Fault("/".join([where, *map(str, item["loc"])]), item["msg"])
        return
    if EXTENSION not in playbook.extension_definitions:
        yield Fault("/extension_definitions", f"does not define {EXTENSION}, which the playbook uses")
    try:
        if not admits(header.verbs, VERSION):
            text = f"was written for the verbs {header.verbs}; there are {VERSION}: check its commands, then pin anew"
            yield Fault(f"{where}/verbs", text)
    except UnsupportedError as error:
        yield Fault(f"{where}/verbs", str(error))
    yield from _inputs(playbook, header, where)
    both = sorted(set(header.roles.required) & set(header.roles.optional))
    if both:
        yield Fault(f"{where}/roles", f"{', '.join(both)}: required or optional, not both")


def _inputs(playbook: Playbook, header: Header, where: str) -> Iterator[Fault]:
    for name, kind in header.inputs.items():
        if kind not in INPUTS | {"tenant"}:
            yield Fault(f"{where}/inputs/{name}", f"{kind!r} is none of {', '.join(sorted(INPUTS | {'tenant'}))}")
        if name not in playbook.playbook_variables or not playbook.playbook_variables[name].external:
            yield Fault(f"{where}/inputs/{name}", "is no external variable of playbook_variables")
    for name, value in header.rehearsal.items():
        if name not in playbook.playbook_variables:
            yield Fault(f"{where}/rehearsal/{name}", "is no variable of playbook_variables")
        elif said := misfit(playbook.playbook_variables[name], value):
            yield Fault(f"{where}/rehearsal/{name}", said)
    for name, one in playbook.playbook_variables.items():
        if one.external and one.value is None and name not in header.inputs:
            yield Fault(f"{where}/inputs", f"says not what the external variable {name} holds")


def _whole(playbook: Playbook) -> Iterator[Fault]:
    if playbook.authentication_info_definitions:
        yield Fault("/authentication_info_definitions", f"{_NOT_CARRIED}credentials are the tenant's binding's")
    if not isinstance(playbook.workflow.get(playbook.workflow_start), Start):
        yield Fault("/workflow_start", "names no start step")
    starts = [name for name, step in playbook.workflow.items() if isinstance(step, Start)]
    if len(starts) > 1:
        yield Fault("/workflow", f"has {len(starts)} start steps; one is needed")
    for name in playbook.playbook_extensions:
        if name != EXTENSION:
            yield Fault(f"/playbook_extensions/{name}", f"{_NOT_CARRIED}it knows {EXTENSION} only")
    yield from _variables("/playbook_variables", playbook.playbook_variables)


def _variables(where: str, variables: Mapping[str, Any]) -> Iterator[Fault]:
    for name, one in variables.items():
        if one.constant and one.value is None:
            yield Fault(f"{where}/{name}", "is constant and has no value")
        said = misfit(one, one.value) if one.value is not None else misfit(one, "") if one.type == "dictionary" else ""
        if said:
            yield Fault(f"{where}/{name}", said)


def _step(playbook: Playbook, name: str, step: Step, lookup: Lookup) -> Iterator[Fault]:
    where = f"/workflow/{name}"
    for extension in step.step_extensions:
        if extension != EXTENSION:
            yield Fault(f"{where}/step_extensions/{extension}", f"{_NOT_CARRIED}it knows {EXTENSION} only")
    try:
        settings = settings_of(step)
    except ValidationError as error:
        for item in error.errors():
            yield Fault("/".join([where, "step_extensions", EXTENSION, *map(str, item["loc"])]), item["msg"])
        return
    yield from _variables(f"{where}/step_variables", step.step_variables)
    if isinstance(step, Condition | Loop):
        yield from _condition(playbook, step, f"{where}/condition")
    if isinstance(step, Loop) and settings.at_most is None:
        yield Fault(where, f"says not how often at most: step_extensions/{EXTENSION}/at_most")
    if isinstance(step, Switch) and not switched(step):
        yield Fault(f"{where}/switch", "names no variable: write __name__:value")
    if isinstance(step, Action):
        yield from _action(playbook, step, where)
    if isinstance(step, Call):
        yield from _call(playbook, step, where, lookup)


def _condition(playbook: Playbook, step: Condition | Loop, where: str) -> Iterator[Fault]:
    try:
        asked = read_condition(step.condition)
    except UnsupportedError as error:
        yield Fault(where, str(error))
        return
    for test in tests_in(asked):
        variable = step.step_variables.get(test.name) or playbook.playbook_variables.get(test.name)
        if variable is None:
            if test.operator == "EXISTS":
                yield Fault(where, f"{test.name} is not declared in playbook_variables")
            continue
        yield from (Fault(where, text) for text in _ill_typed(test, variable.type))


def _ill_typed(test: Comparison, kind: str) -> Iterator[str]:
    numeric = kind in {"integer", "long", "float"}
    for literal in test.literals:
        if kind == "bool":
            fits = isinstance(literal, bool) and test.operator in {"=", "!=", "IN"}
        elif numeric:
            fits = isinstance(literal, int | float) and not isinstance(literal, bool) and test.operator != "LIKE"
        else:
            fits = isinstance(literal, str) and test.operator not in {"<", "<=", ">", ">="}
        if test.operator == "ISSUBSET":
            fits = kind in {"ipv4-addr", "ipv6-addr", "string"}
        if not fits:
            yield f"{test.name} is {kind}: it cannot be compared {test.operator} {literal!r}"


def _action(playbook: Playbook, step: Action, where: str) -> Iterator[Fault]:
    there = {**playbook.agent_definitions, **playbook.target_definitions}
    for pointer, one in [("agent", step.agent), *((f"targets/{n}", one) for n, one in enumerate(step.targets or ()))]:
        if one not in there:
            yield Fault(f"{where}/{pointer}", f"{one} is not defined in agent_definitions or target_definitions")
    if step.out_args and len(step.out_args) > 1:
        yield Fault(
            f"{where}/out_args", "one variable takes the outcome or the answer; more is not executed by nightdesk"
        )
    for number, name in enumerate(step.out_args or ()):
        variable = playbook.playbook_variables.get(name)
        if variable is None or variable.constant or variable.type != "string":
            yield Fault(f"{where}/out_args/{number}", f"{name} is no string variable that may be set")
    kinds = {command.type for command in step.commands}
    if MANUAL in kinds and len(step.commands) > 1:
        yield Fault(f"{where}/commands", "a manual command stands alone in its step")
    for number, command in enumerate(step.commands):
        yield from _command(playbook, step, command, f"{where}/commands/{number}")


def _command(playbook: Playbook, step: Action, command: Command, where: str) -> Iterator[Fault]:
    if command.type == MANUAL:
        yield from _manual(command, where)
        return
    if command.type != HTTP:
        yield Fault(f"{where}/type", f"{command.type} is not executed by nightdesk: it executes {MANUAL} and {HTTP}")
        return
    if command.headers:
        yield Fault(f"{where}/headers", f"{_NOT_CARRIED}leave them out, the connector speaks to the product")
    if settings_of(step).answers:
        yield Fault(where, "answers are a manual step's")
    if not re.match(r"^POST \S+ HTTP/\d(\.\d)?$", command.command or ""):
        yield Fault(f"{where}/command", "is no start line of an OpenC2 request: write POST /PATH HTTP/1.1")
    try:
        order = order_of(command)
    except UnsupportedError as error:
        yield Fault(f"{where}/content_b64", str(error))
        return
    yield from (Fault(f"{where}/content_b64", text) for text in _order(playbook, order))


def _manual(command: Command, where: str) -> Iterator[Fault]:
    if (command.command is None) == (command.command_b64 is None):
        yield Fault(where, "write command, or command_b64")
    try:
        manual_text(command)
    except UnsupportedError as error:
        yield Fault(f"{where}/command_b64", str(error))


def _order(playbook: Playbook, order: Order) -> Iterator[str]:
    verb = order.verb
    has = ", ".join(verb.parameters) or "none"
    unknown = sorted(set(order.parameters) - set(verb.parameters))
    if unknown:
        yield f"{verb.name} has no parameter {', '.join(unknown)}; it has {has}"
    lost = sorted(set(order.accept_losses) - set(verb.parameters))
    if lost:
        yield f"accept_losses: {verb.name} has no parameter {', '.join(lost)}; it has {has}"
    if order.lease is not None and not verb.reversible:
        yield f"{verb.name} cannot be leased: {verb.no_inverse}"
    if verb.role == "source":
        yield f"{verb.name} is not executed from a playbook: it goes to the product that one alert came from"
    elif EXTENSION in playbook.playbook_extensions:
        yield from _role(playbook, verb.role, verb.name)
    if not set(mentioned(order.texts)) and (said := checked_target(order)):
        yield said


def _role(playbook: Playbook, role: str, name: str) -> Iterator[str]:
    try:
        roles = playbook.header.roles
    except ValidationError:
        return  # told already
    if role not in {*roles.required, *roles.optional}:
        yield f"{name} needs the role {role}, which the header names neither required nor optional"


def _call(playbook: Playbook, step: Call, where: str, lookup: Lookup) -> Iterator[Fault]:
    other = lookup(step.playbook_id)
    if other is None:
        yield Fault(f"{where}/playbook_id", f"there is no playbook {step.playbook_id}")
        return
    if step.playbook_version not in {None, other.modified}:
        yield Fault(f"{where}/playbook_version", f"{other.name} is of {other.modified}, not of {step.playbook_version}")
    for field, names in (("in_args", step.in_args or ()), ("out_args", step.out_args or ())):
        for number, name in enumerate(names):
            inner = other.playbook_variables.get(name)
            outer = playbook.playbook_variables.get(name)
            if inner is None or outer is None:
                yield Fault(f"{where}/{field}/{number}", f"{name} must be a variable here and in {other.name}")
            elif inner.type != outer.type:
                yield Fault(
                    f"{where}/{field}/{number}", f"{name} is {outer.type} here and {inner.type} in {other.name}"
                )
            elif (outer if field == "out_args" else inner).constant:
                yield Fault(f"{where}/{field}/{number}", f"{name} is constant")
    needed = {name for name, one in other.playbook_variables.items() if one.external and one.value is None}
    missing = sorted(needed - set(step.in_args or ()))
    if missing:
        yield Fault(f"{where}/in_args", f"{other.name} needs {', '.join(missing)}")
    yield from _roles_of_call(playbook, other, where)


def _roles_of_call(playbook: Playbook, other: Playbook, where: str) -> Iterator[Fault]:
    try:
        mine, theirs = playbook.header.roles, other.header.roles
    except ValidationError:
        return  # told already
    unnamed = {*theirs.required, *theirs.optional} - {*mine.required, *mine.optional}
    if unnamed:
        yield Fault(
            where, f"{other.name} acts as {', '.join(sorted(unnamed))}, which the header of this one does not name"
        )


def _circles(playbook: Playbook, lookup: Lookup) -> Iterator[Fault]:
    """A playbook that calls itself, at whatever remove."""
    for name, step in playbook.workflow.items():
        if isinstance(step, Call) and _reaches(step.playbook_id, playbook.id, lookup):
            yield Fault(f"/workflow/{name}/playbook_id", "leads back to this playbook: it would call itself for ever")


def _reaches(begin: str, wanted: str, lookup: Lookup) -> bool:
    seen: set[str] = set()
    waiting = [begin]
    while waiting:
        one = waiting.pop()
        if one == wanted:
            return True
        other = None if one in seen else lookup(one)
        seen.add(one)
        waiting += [step.playbook_id for step in other.workflow.values() if isinstance(step, Call)] if other else []
    return False


def vendor_words(document: Any, words: Collection[str]) -> set[str]:
    """The words that the document's texts name, whole; ``-``, ``_`` and space are one."""
    texts: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                texts.append(str(key))
                gather(item)
        elif isinstance(value, list | tuple):
            for item in value:
                gather(item)

    gather(document)
    plain = re.sub(r"[-_\s]+", " ", " \n ".join(texts)).lower()
    spoken = {word: re.sub(r"[-_\s]+", " ", word).lower() for word in words}
    return {word for word, said in spoken.items() if re.search(rf"(?<!\w){re.escape(said)}(?!\w)", plain)}

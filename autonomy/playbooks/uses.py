"""Where a step names variables, place by place."""

from collections.abc import Iterator

from nightdesk.autonomy.playbooks.commands import HTTP, MANUAL, manual_text, order_of
from nightdesk.autonomy.playbooks.comparisons import names_in, read_condition, tests_in
from nightdesk.autonomy.playbooks.model import Action, Call, Condition, Loop, Step, Switch
from nightdesk.autonomy.playbooks.variables import MENTION, mentioned
from nightdesk.sdk.errors import UnsupportedError

__all__ = ["switched", "uses_of"]


def switched(step: Switch) -> str:
    """The variable of a switch; empty when it names none."""
    found = MENTION.fullmatch(step.switch)
    return found[1] if found else ""


def uses_of(name: str, step: Step) -> Iterator[tuple[str, str]]:
    """Pointer and variable of every use. What cannot be read uses nothing: it is a fault of its own elsewhere."""
    where = f"/workflow/{name}"
    if isinstance(step, Condition | Loop):
        try:
            asked = read_condition(step.condition)
        except UnsupportedError:
            return
        # What the same condition asks for with EXISTS may be missing.
        unsure = {test.name for test in tests_in(asked) if test.operator == "EXISTS"}
        yield from ((f"{where}/condition", one) for one in sorted(names_in(asked) - unsure))
    elif isinstance(step, Switch):
        if switched(step):
            yield f"{where}/switch", switched(step)
    elif isinstance(step, Call):
        yield from ((f"{where}/in_args/{number}", one) for number, one in enumerate(step.in_args or ()))
    elif isinstance(step, Action):
        yield from ((f"{where}/in_args/{number}", one) for number, one in enumerate(step.in_args or ()))
        for number, command in enumerate(step.commands):
            try:
                texts = order_of(command).texts if command.type == HTTP else (manual_text(command),)
            except UnsupportedError:
                continue
            if command.type in {HTTP, MANUAL}:
                field = "content_b64" if command.type == HTTP else "command"
                yield from ((f"{where}/commands/{number}/{field}", one) for one in sorted(set(mentioned(texts))))

"""What must be so before a playbook does anything: inputs have values, roles are bound, verbs are offered."""

from collections.abc import Iterator, Mapping

from nightdesk.autonomy.playbooks.commands import HTTP, checked_target, order_of
from nightdesk.autonomy.playbooks.model import Action, Playbook, settings_of
from nightdesk.autonomy.playbooks.ruled import FROM_CASE
from nightdesk.autonomy.playbooks.variables import mentioned, misfit, with_values
from nightdesk.hub.config import TenantSettings
from nightdesk.sdk.case import Case
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind, Verb

__all__ = ["inputs_for", "left_out", "offered", "unready"]


def inputs_for(
    playbook: Playbook, given: Mapping[str, str], *, tenant: str, case_id: str, case: Case | None
) -> dict[str, str]:
    """The values of the external variables: what a person gave, else what the case names exactly one of.

    Raises ConfigError with every variable that is missing, unknown or no value of its type.
    """
    problems: list[Problem] = []
    values: dict[str, str] = {}
    kinds = playbook.header.inputs
    for name, value in given.items():
        variable = playbook.playbook_variables.get(name)
        if variable is None or not variable.external:
            there = ", ".join(kinds) or "none"
            problems.append(Problem("--var", name, f"is no external variable of this playbook; it has {there}"))
        else:
            values[name] = value
    for name, variable in playbook.playbook_variables.items():
        if not variable.external or name in values:
            continue
        kind = kinds.get(name, "text")
        known = {"case": case_id, "tenant": tenant}.get(kind, "")
        found = [known] if known else _in_case(case, kind)
        if len(found) == 1:
            values[name] = found[0]
        elif variable.value is None:
            problems.append(Problem("--var", name, _missing(kind, variable.description, found)))
    for name, value in values.items():
        said = misfit(playbook.playbook_variables[name], value) or _no_target(kinds.get(name, "text"), value)
        if said:
            problems.append(Problem("--var", name, said))
    if problems:
        raise ConfigError(problems)
    return values


def unready(
    playbook: Playbook, called: Mapping[str, Playbook], values: Mapping[str, str], tenant: TenantSettings
) -> Iterator[Problem]:
    """Everything that would stop it half-way and can be known before."""
    slug, roles = tenant.scope.slug, playbook.header.roles
    for role in roles.required:
        if role not in tenant.roles:
            yield Problem(
                "roles", role, f"tenant {slug!r} binds no connector to it, and this playbook cannot do without"
            )
    for book in (playbook, *called.values()):
        for name, step in book.workflow.items():
            if not isinstance(step, Action):
                continue
            # A called playbook's variables come from the step that calls it: only its own are known here.
            known = {**with_values(book.playbook_variables), **(values if book is playbook else {})}
            known |= with_values(step.step_variables)
            for command in step.commands:
                if command.type == HTTP:
                    order = order_of(command)
                    lack = offered(tenant, order.verb)
                    if lack and order.verb.role in tenant.roles and not settings_of(step).skippable:
                        yield Problem(book.name, f"/workflow/{name}", lack)
                    asked = set(mentioned((order.value, order.facts)))
                    # An input that was left empty: the playbook has a way round the step, or it is refused there.
                    if asked <= set(known) and all(known[one] for one in asked):
                        said = checked_target(order.given({**_blank(order.texts), **known}))
                        if said:
                            yield Problem(book.name, f"/workflow/{name}", said)


def left_out(playbook: Playbook, called: Mapping[str, Playbook], tenant: TenantSettings) -> Iterator[str]:
    """What it would do without on that binding: steps of roles and verbs that it can miss."""
    for book in (playbook, *called.values()):
        for name, step in book.workflow.items():
            for command in step.commands if isinstance(step, Action) else ():
                if command.type == HTTP:
                    verb = order_of(command).verb
                    lack = offered(tenant, verb)
                    optional = verb.role in book.header.roles.optional and verb.role not in tenant.roles
                    if lack and (optional or settings_of(step).skippable):
                        yield f"{step.name or name}: {lack}"


def offered(tenant: TenantSettings, verb: Verb) -> str:
    """Why the tenant's binding cannot do this verb, or nothing."""
    bound = tenant.roles.get(verb.role)
    if bound is None:
        return f"tenant {tenant.scope.slug!r} binds no connector to the role {verb.role!r}, which {verb.name} needs"
    if verb.name not in tenant.instances[bound].manifest.verbs:
        return f"{bound} does not offer {verb.name}"
    return ""


def _blank(texts: tuple[object, ...]) -> dict[str, str]:
    """Something for variables that only a reason or a parameter names: the target is what is checked."""
    return dict.fromkeys(mentioned(texts), "-")


def _in_case(case: Case | None, kind: str) -> list[str]:
    if case is None or kind not in FROM_CASE:
        return []
    return sorted({entity.value for entity in case.entities if entity.kind == FROM_CASE[kind]})


def _missing(kind: str, description: str, found: list[str]) -> str:
    about = f" ({description})" if description else ""
    if found:
        return f"the case names {len(found)} of the kind {kind}: {', '.join(found[:5])}; say which{about}"
    return f"needs a {kind}{about}: give it with --var NAME=VALUE"


def _no_target(kind: str, value: str) -> str:
    if kind not in set(TargetKind):
        return ""
    try:
        Target(TargetKind(kind), value)
    except NightdeskError as error:
        return str(error)
    return ""

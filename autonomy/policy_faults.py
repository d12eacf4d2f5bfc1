"""What is wrong with a rule that its shape alone does not say; above all, whatever would let caution shrink (law 7)."""

import re
from collections.abc import Callable, Iterator

from nightdesk.autonomy.conditions import IDENTIFIED, Selector, When
from nightdesk.autonomy.levels.units import classes_of
from nightdesk.autonomy.matching import in_network
from nightdesk.autonomy.policy import ACTS_ON, TARGETS, NeverTouch, Propose, Rule, StartPlaybook, Then, names_things
from nightdesk.sdk.case import EntityKind
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind, verb
from nightdesk.stix import attack

__all__ = ["ROLE_KINDS", "faults"]

ROLE_KINDS = {
    "victim-host": EntityKind.HOST,
    "actor-host": EntityKind.HOST,
    "victim-user": EntityKind.ACCOUNT,
    "victim-account": EntityKind.ACCOUNT,
    "actor-user": EntityKind.ACCOUNT,
    "attacker-address": EntityKind.ADDRESS,
    "attacker-domain": EntityKind.DOMAIN,
    "attacker-url": EntityKind.URL,
    "malicious-file": EntityKind.FILE,
    "malicious-process": EntityKind.PROCESS,
    "sender": EntityKind.EMAIL,
    "recipient": EntityKind.EMAIL,
}
"""Which kind of entity has a role; a role that is not here may be of any kind."""

Found = Iterator[tuple[str, str]]
_BOOK = re.compile(r"playbook--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARIABLE = re.compile(r"__[a-zA-Z_][a-zA-Z0-9_-]{0,199}__")


def faults(rule: Rule) -> Found:
    """Every fault as (key below the rule, message)."""
    effects = sorted(rule.then.model_fields_set)
    if len(effects) != 1 or getattr(rule.then, effects[0]) is None:
        yield ".then", f"write exactly one of {', '.join(Then.model_fields)}"
        return
    if rule.then.never_touch is not None:
        if rule.when != When():
            yield ".when", "never_touch holds always: remove the condition"
        yield from _wrong_set(rule.then.never_touch)
        return
    if (rule.then.never or rule.then.require_approval) and not rule.reason.strip():
        yield ".reason", "a rule that holds the machine back says why: write what would go wrong"
    closing = rule.closing is not None
    if closing and not _pinned(rule.when):
        yield (
            ".when",
            (
                "a rule that closes must name the detection: add rule_id or rule_name with its exact text "
                "(in every branch of any); nothing an attacker can write may be what closes a case"
            ),
        )
    if rule.then.close is not None and rule.expires is None and names_things(rule.when):
        yield ".expires", "a rule that closes what certain things do is an allow-list, and those end: add expires"
    yield from _wrong_when(rule.when, ".when", raising=not closing)
    if rule.then.propose is not None:
        yield from _wrong_propose(rule.then.propose)
    if rule.then.playbook is not None:
        yield from _wrong_playbook(rule.then.playbook)


def _pinned(when: When) -> bool:
    """Whether no alert of another detection rule can match."""
    if when.rule_id or when.rule_name:
        return True
    if any(_pinned(child) for child in when.all_of or ()):
        return True
    return when.any_of is not None and all(_pinned(child) for child in when.any_of)


def _wrong_when(when: When, key: str, *, raising: bool) -> Found:
    if raising and when.severity_at_most is not None:
        yield (
            f"{key}.severity_at_most",
            "a worse alert would escape the rule: write severity_at_least, or put it under not",
        )
    if not raising:
        yield from _wrong_lowering(when, key)
    for name, meaning in (("techniques", attack.technique), ("tactics", attack.tactic)):
        known: Callable[[str], object] = meaning
        for text in getattr(when, name) or ():
            if known(text) is None:
                yield f"{key}.{name}", f"{text!r} is not in ATT&CK: write an id such as T1059.001 or TA0002"
    for index, selector in enumerate(when.entities or ()):
        yield from _wrong_selector(selector, f"{key}.entities[{index}]", raising=raising)
    for name, children in (("all", when.all_of), ("any", when.any_of)):
        for index, child in enumerate(children or ()):
            yield from _wrong_when(child, f"{key}.{name}[{index}]", raising=raising)
    if when.none_of is not None:
        yield from _wrong_when(when.none_of, f"{key}.not", raising=not raising)


def _wrong_lowering(when: When, key: str) -> Found:
    """Here a match makes the case less cautious."""
    for name in ("title", "text"):
        if getattr(when, name) is not None:
            yield f"{key}.{name}", "an attacker can write it, so it may only raise caution: see the policy reference"
    for name, why in (
        ("severity_at_least", "a worse alert would be closed more easily: write severity_at_most"),
        ("case_alerts_at_least", "more alerts would be closed more easily: remove it"),
    ):
        if getattr(when, name) is not None:
            yield f"{key}.{name}", why
    for name in ("rule_id", "rule_name"):
        for text in getattr(when, name) or ():
            if "*" in text or "?" in text:
                yield (
                    f"{key}.{name}",
                    f"{text!r}: write the exact text; * and ? could mean a rule that does not exist yet",
                )


def _wrong_selector(selector: Selector, key: str, *, raising: bool) -> Found:
    if not raising and selector.kind not in IDENTIFIED:
        kinds = ", ".join(sorted(IDENTIFIED))
        yield f"{key}.kind", f"the name of a {selector.kind} can be chosen by an attacker: use one of {kinds}"
    check = {EntityKind.ADDRESS: _is_address, EntityKind.FILE: _is_hash}.get(selector.kind)
    for text in selector.values:
        if check is not None and not check(text):
            what = "an address or CIDR network" if selector.kind is EntityKind.ADDRESS else "sha256:… (or sha1:, md5:)"
            yield f"{key}.in", f"{text!r}: write {what}"
        elif not raising and ("*" in text or "?" in text):
            yield f"{key}.in", f"{text!r}: write the exact id"


def _is_address(text: str) -> bool:
    return in_network(text, text)


def _is_hash(text: str) -> bool:
    try:
        return Target(TargetKind.FILE, text).value == text.lower()
    except RejectedError:
        return False


def _wrong_set(protected: NeverTouch) -> Found:
    if not protected.model_fields_set:
        yield ".then.never_touch", "name assets, accounts, addresses or domains"
    for text in protected.addresses:
        if not _is_address(text):
            yield ".then.never_touch.addresses", f"{text!r}: write an address or CIDR network"
    # A slip here would protect nothing, and nobody would notice.
    for text in protected.assets:
        if "/" in text:
            yield ".then.never_touch.assets", f"{text!r}: write the name of a host; networks stand in addresses"
    for text in protected.domains:
        if re.search(r"[/:@\\\s]", text):
            yield ".then.never_touch.domains", f"{text!r}: write a domain; its sub-domains and URLs are covered with it"


def _wrong_propose(propose: Propose) -> Found:
    for index, action in enumerate(propose.actions):
        key = f".then.propose.actions[{index}]"
        try:
            wanted = verb(action.verb)
        except UnsupportedError as error:
            yield f"{key}.verb", str(error)
            continue
        kind = ACTS_ON.get(wanted.target)
        if wanted.name != wanted.family:
            yield (
                f"{key}.verb",
                f"{wanted.name} undoes {wanted.family}: a rule proposes the containment, a person undoes it",
            )
        if kind is None:
            yield (
                f"{key}.verb",
                f"{wanted.name} acts on a {wanted.target}, which no alert names: a rule cannot propose it",
            )
        elif action.target not in TARGETS:
            yield (
                f"{key}.target",
                f"{action.target!r} is no entity kind or role; there are: {', '.join(sorted(TARGETS))}",
            )
        elif ROLE_KINDS.get(action.target, action.target) != kind:
            yield f"{key}.target", f"{wanted.name} acts on a {kind}, and {action.target} is none"
        unknown = sorted(set(action.parameters) - set(wanted.parameters))
        if unknown:
            known = ", ".join(wanted.parameters) or "none"
            yield f"{key}.parameters", f"{wanted.name} has no parameter {', '.join(unknown)}; it has: {known}"
        if propose.approval == "earned" and not classes_of([wanted.name]):
            yield f"{key}.verb", f"{wanted.name} is nothing that a rule can earn: write approval: human, or policy"
        if propose.approval != "human" and (
            wanted.risk > Risk.R2 or (wanted.risk is Risk.R2 and not wanted.reversible)
        ):
            yield (
                f"{key}.verb",
                f"{wanted.name} ({wanted.risk.name}) is not for {propose.approval} approval: write approval: human",
            )


def _wrong_playbook(wanted: StartPlaybook) -> Found:
    """What can be said without the playbook; ``playbooks.ruled`` says the rest."""
    key = ".then.playbook"
    if not _BOOK.fullmatch(wanted.id):
        yield (
            f"{key}.id",
            f"{wanted.id!r} is no playbook's id: write playbook--…, as `nightdesk playbook show` prints it",
        )
    if not re.fullmatch(r"[0-9a-f]{64}", wanted.sha256):
        yield (
            f"{key}.sha256",
            "a rule is signed for one content of a playbook: write its sha256, as `nightdesk playbook show` prints it",
        )
    for name, word in wanted.inputs.items():
        if not _VARIABLE.fullmatch(name):
            yield f"{key}.inputs", f"{name!r} is no variable: write a name such as __host__"
        if word not in TARGETS:
            there = ", ".join(sorted(TARGETS))
            yield f"{key}.inputs.{name}", f"{word!r} is no entity kind or role; there are: {there}"

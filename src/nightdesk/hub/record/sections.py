"""One record whole, in sections: what went in, by what it was decided, what was asked, what came out of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.verification import verification_text
from nightdesk.hub.record.replaying import Stored
from nightdesk.hub.store.codec import dump, load
from nightdesk.sdk.case import Decision

__all__ = ["Section", "as_json_document", "sections"]


class Section(NamedTuple):
    """A heading and its rows; a row without a name is a line of its own. Values may hold foreign text."""

    heading: str
    rows: Sequence[tuple[str, str]]


def sections(found: Stored, actions: Sequence[Action]) -> list[Section]:
    """The record in the order in which a decision is made. The caller has seen that it is intact."""
    told = found.decision
    assert told is not None
    return [
        Section("Decision", list(_named(told))),
        Section("Inputs", list(_inputs(told.inputs))),
        Section("Versions", list(_versions(told))),
        Section(f"Checks ({sum(one.passed for one in told.checks)} of {len(told.checks)} passed)", list(_checks(told))),
        Section("Adviser", list(_adviser(told.inputs))),
        Section("Outcome", list(_outcome(told))),
        Section("Actions", list(_actions(told, actions))),
        Section("Chain", [
            ("number", str(found.link.seq)), ("hash", found.link.hash), ("hash before", found.link.previous_hash),
        ]),
    ]  # fmt: skip


def as_json_document(found: Stored, actions: Sequence[Action]) -> dict[str, Any]:
    """The same for programs: the record as it stands, its link, and what was done."""
    return {
        "record": load(found.link.record),
        "chain": {"seq": found.link.seq, "hash": found.link.hash, "previous_hash": found.link.previous_hash},
        "actions": [load(dump(one)) for one in actions],
        "verified": {one.action_id: verification_text(one) for one in actions},
    }


def _named(told: Decision) -> Iterator[tuple[str, str]]:
    yield "id", told.decision_id
    yield "case", told.case_id
    yield "tenant", told.tenant
    yield "decided at", told.decided_at.isoformat()
    if told.supersedes:
        yield "supersedes", told.supersedes
    if told.reviewer:
        yield "decided by", told.reviewer


def _inputs(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not inputs:
        yield "", "none are recorded: a person decided"
        return
    for number, alert in enumerate(inputs.get("alerts", ()), 1):
        yield f"alert {number}", f"{alert['alert_id']} sha256 {alert['sha256']}"
    for name, value in sorted(inputs.get("case", {}).items()):
        yield f"case {name}", _text(value)
    for name, value in sorted(inputs.get("context", {}).items()):
        if name == "advice":
            continue
        if isinstance(value, Mapping) and value:
            for inner, entry in sorted(value.items()):
                yield f"{name} {inner}", _text(entry)
        else:
            yield name, _text(value)
    for name, value in sorted(inputs.items()):
        if name not in {"alerts", "case", "context", "rules", "signers"}:
            yield name, _text(value)


def _versions(told: Decision) -> Iterator[tuple[str, str]]:
    yield "policy", f"{told.policy_id} {told.policy_version}".strip() or "none"
    if told.policy_sha256:
        yield "policy sha256", told.policy_sha256
    yield "signed by", ", ".join(told.inputs.get("signers", ())) or "nobody"
    for number, rule in enumerate(told.inputs.get("rules", ()), 1):
        yield f"closing rule of alert {number}", rule or "none"


def _checks(told: Decision) -> Iterator[tuple[str, str]]:
    for one in told.checks:
        yield ("passed " if one.passed else "FAILED ") + one.name, f"{one.value or '-'} (wanted: {one.limit or '-'})"
    if not told.checks:
        yield "", "none was asked"


def _adviser(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    advice = inputs.get("context", {}).get("advice")
    if not advice:
        yield "", "nobody was asked, or nothing usable was said"
        return
    for name, value in sorted(advice.items()):
        yield name, _text(value)


def _outcome(told: Decision) -> Iterator[tuple[str, str]]:
    yield "outcome", told.outcome.value
    yield "verdict", told.verdict.value
    yield "mode", told.mode.value
    yield "reason", told.reason_code
    if told.hold_until is not None:
        yield "held until", told.hold_until.isoformat()
    yield from (("because", text) for text in told.reasons)


def _actions(told: Decision, actions: Sequence[Action]) -> Iterator[tuple[str, str]]:
    for one in told.proposals:
        by = ", ".join(one.rules) or "no rule named"
        yield "proposed", f"{one.verb} {one.target} (approval: {one.approval}; {by})"
    for start in told.starts:
        yield "playbook", f"{start.name} {start.playbook} sha256 {start.sha256} (approval: {start.approval})"
    for act in actions:
        verified = verification_text(act)
        said = "; ".join(text for text in (f"verified {verified}" if verified else "", act.error) if text)
        yield act.action_id, f"{act.verb} {act.target.key}: {act.state}{f' ({said})' if said else ''}"
    if not (told.proposals or told.starts or actions):
        yield "", "none"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dump(value).decode()

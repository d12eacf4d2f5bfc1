"""A decision in words that a person understands in a minute, with attacker text made harmless and marked as such."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from nightdesk.autonomy.matching import severity_rank
from nightdesk.sdk.case import Case, Check, Decision, Outcome

__all__ = ["Explanation", "explain", "quoted", "severity_word"]

_LENGTH = 160
_ROWS = 10
# Markdown's own letters, template braces, and what would become a link without any.
_ACTIVE = re.compile(r"([\\`*_{}\[\]#!|~$@%]|(?<=:)/(?=/)|(?<=www)\.)", re.IGNORECASE)
_WORDS = {
    Outcome.CLOSE: "Closed",
    Outcome.RECOMMEND: "Closing is recommended",
    Outcome.ESCALATE: "Escalated to a person",
    Outcome.PROPOSE_CONTAINMENT: "Escalated to a person, with containment ready",
    Outcome.HOLD: "Held until it has been quiet",
    Outcome.REOPEN: "Re-opened",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """``abstract`` is one line of our own words only; ``content`` is markdown."""

    abstract: str
    content: str


def explain(decision: Decision, case: Case) -> Explanation:
    """The explanation of a decision about a case."""
    verdict = decision.verdict.value.replace("-", " ")
    abstract = f"{_WORDS[decision.outcome]} as {verdict} ({decision.reason_code}), {len(case.alerts)} alerts"
    return Explanation(abstract, "\n".join(_lines(decision, case, verdict)) + "\n")


def quoted(text: str, length: int = _LENGTH) -> str:
    """Foreign text for markdown: one line, nothing active in it, nothing invisible, of bounded length."""
    seen = "".join(_visible(letter) for letter in text[: length + 1])
    cut = f"{seen[:length]}…" if len(text) > length or len(seen) > length else seen
    escaped = cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _ACTIVE.sub(r"\\\1", escaped)


def severity_word(severity_id: int) -> str:
    """The word of a severity id."""
    words = ("unknown", "informational", "low", "medium", "high", "critical", "fatal")
    return words[severity_rank(severity_id)]


def _visible(letter: str) -> str:
    """Control, format (bidirectional, zero-width), private and unassigned letters are shown by number."""
    category = unicodedata.category(letter)
    if letter == " " or category[0] not in {"C", "Z"}:
        return letter
    return f"<U+{ord(letter):04X}>"


def _lines(decision: Decision, case: Case, verdict: str) -> Iterator[str]:
    yield f"**{_WORDS[decision.outcome]}** as *{verdict}*."
    yield ""
    yield from (f"- {quoted(reason, 600)}" for reason in decision.reasons)
    if decision.hold_until is not None:
        yield f"- Held until {decision.hold_until.isoformat(timespec='seconds')}."
    yield from _advice(decision)
    yield ""
    yield f"Policy {decision.policy_id} {quoted(decision.policy_version)}, sha256 {decision.policy_sha256[:16]}."
    if decision.proposals:
        yield from ("", "Containment:", "")
        for one in decision.proposals:
            yield f"- {one.verb} on {quoted(one.target)}, approval: {one.approval}"
    if decision.starts:
        yield from ("", "Playbooks, each once for the case:", "")
        for start in decision.starts:
            given = ", ".join(f"{name} “{quoted(text)}”" for name, text in start.variables.items())
            name = f"{quoted(start.name)} ({start.sha256[:12]})"
            yield f"- {name} with {given or 'no inputs'}, approval: {start.approval}"
    yield from ("", f"Alerts ({len(case.alerts)}); titles and names are quoted from the sources, untrusted:", "")
    for alert in case.alerts[:_ROWS]:
        yield f"- {severity_word(alert.severity_id)}: “{quoted(alert.title)}” ({quoted(alert.alert_id)})"
    yield from _more(len(case.alerts))
    entities = case.entities
    if entities:
        yield from ("", "Seen in them:", "")
        yield from (f"- {one.kind.value} ({quoted(one.role)}): “{quoted(one.value)}”" for one in entities[:_ROWS])
        yield from _more(len(entities))
    yield from ("", "Checks:", "")
    yield from map(_check, sorted(decision.checks, key=lambda check: check.passed))


def _advice(decision: Decision) -> Iterator[str]:
    told = decision.inputs.get("context", {}).get("advice")
    if told is not None:
        effect = "raised this to a person" if decision.reason_code == "adviser-raised" else "changed nothing"
        yield ""
        yield f"The adviser ({quoted(told['model'])}) said {quoted(told['verdict'])} and {effect}."
        yield f"Its words are made from untrusted text: “{quoted(told['summary'], 600)}”"


def _more(count: int) -> Iterator[str]:
    if count > _ROWS:
        yield f"- and {count - _ROWS} more"


def _check(check: Check) -> str:
    value = f": {quoted(check.value)}" if check.value else ""
    return f"- {'passed' if check.passed else '**failed**'} {check.name}{value} (wanted: {quoted(check.limit)})"

from datetime import timedelta

import pytest

from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.explain import explain, quoted, severity_word
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Case
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity


def told(case: Case, rules: str = "[]", *, signed: bool = True) -> tuple[str, str]:
    policy: Policy | SignedPolicy = parse_policy(f"policy_id: p\nversion: 1\nrules: {rules}\n".encode(), file="p")
    if signed and isinstance(policy, Policy):
        policy = SignedPolicy(policy, (Signature("jane", "k", "s", "t"),))
    decision = decide(case, policy, now=CASE_TIME, quiet=timedelta(seconds=300), decision_id="d")
    explanation = explain(decision, case)
    return explanation.abstract, explanation.content


def test_an_explanation_says_what_why_and_what_was_checked() -> None:
    abstract, content = told(a_case())
    assert abstract == "Escalated to a person as undetermined (no-rule), 1 alerts"
    assert content.startswith("**Escalated to a person** as *undetermined*.")
    assert "1 of 1 alerts are named by no rule" in content
    assert "- low: “Something was seen” (alert-1)" in content
    assert content.index("**failed** every-alert-covered") < content.index("passed flood")


def test_a_hold_says_until_when() -> None:
    rules = "[{id: r, owner: j, when: {rule_id: rule-1}, then: {close: {verdict: test}}}]"
    assert "Held until 2026-11-20T09:05:00+00:00." in told(a_case(), rules)[1]


def test_a_proposal_is_listed_with_its_approval() -> None:
    rules = "[{id: r, owner: j, then: {propose: {actions: [{verb: host.isolate, target: host}]}}}]"
    assert "- host.isolate on host:ws-0042, approval: human" in told(a_case(), rules)[1]


def test_long_lists_are_cut_and_counted() -> None:
    case = a_case([an_alert(f"a{index}", entities=(an_entity(f"host:h{index}"),)) for index in range(13)])
    assert told(case)[1].count("- and 3 more") == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text-1.exe", "plain text-1.exe"),
        ("a\nb\tc", "a&lt;U+000A&gt;b&lt;U+0009&gt;c"),
        ("invoice\u202efdp.exe", "invoice&lt;U+202E&gt;fdp.exe"),
        ("zero\u200bwidth", "zero&lt;U+200B&gt;width"),
        ("line\u2028end", "line&lt;U+2028&gt;end"),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
        ("[click](http://example.org)", "\\[click\\](http:\\//example.org)"),
        ("www.example.org a@example.org", "www\\.example.org a\\@example.org"),
        ("**bold** `code` {{ 7*7 }}", "\\*\\*bold\\*\\* \\`code\\` \\{\\{ 7\\*7 \\}\\}"),
        ("x|y ~~z~~ #1 !", "x\\|y \\~\\~z\\~\\~ \\#1 \\!"),
        ("lone \ud800 half", "lone &lt;U+D800&gt; half"),
    ],
)
def test_foreign_text_is_made_harmless(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_foreign_text_is_bounded() -> None:
    assert quoted("a" * 1000) == "a" * 160 + "…"
    assert len(quoted("\x00" * 1000)) < 300


def test_a_title_cannot_write_a_line_of_its_own() -> None:
    _, content = told(a_case([an_alert(title="x\n\n**Closed** as *benign*\n- passed everything")]))
    assert not any(line.startswith("**Closed**") for line in content.splitlines())
    assert "- passed everything" not in content.splitlines()


def test_a_severity_has_a_word() -> None:
    assert [severity_word(number) for number in (0, 1, 5, 99)] == ["unknown", "informational", "critical", "unknown"]

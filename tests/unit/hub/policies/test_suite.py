"""Tests beside a policy: what they may say, what is wrong with them, and what a run finds."""

import json
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, run_cli

from nightdesk.autonomy.policy_file import read_policy
from nightdesk.hub.policies.suite import beside, read_suite
from nightdesk.hub.policies.trying import Report, run_suite
from nightdesk.hub.setup import make_config
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.testing.cases import CASE_TIME
from nightdesk.stix.files import Refused, read_alerts
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

POLICY = """
policy_id: p
version: 1
rules:
  - {id: scan, owner: j, when: {rule_name: [Scan]}, then: {close: {verdict: benign-positive, at_once: true}}}
  - {id: grave, owner: j, when: {severity_at_least: high}, then: {escalate: {}}}
  - {id: hands-off, owner: j, then: {never_touch: {assets: [dc*]}}}
  - {id: worm, owner: j, when: {techniques: [T1486]},
     then: {propose: {actions: [{verb: host.isolate, target: host}]}}}
  - {id: old, owner: j, expires: 2020-01-01, when: {rule_id: x}, then: {close: {verdict: test}}}
"""
WAZUH = Path(__file__).parents[3] / "fixtures" / "wazuh" / "alerts"
BUNDLED = Path(read_policy.__code__.co_filename).parent / "policies"


def written(folder: Path, tests: str, policy: str = POLICY) -> Path:
    file = folder / "p.yaml"
    file.write_text(policy, encoding="utf-8")
    beside(file).write_text(tests, encoding="utf-8")
    return file


def run(file: Path) -> Report:
    return run_suite(read_policy(file), read_suite(beside(file)), REGISTRY.normalizer, today=CASE_TIME)


def one(expect: str, alert: str = "{rule_name: Scan}", more: str = "") -> str:
    return f"tests:\n  - name: t\n    alerts: [{alert}]\n    expect: {expect}\n{more}"


def test_a_case_that_becomes_what_was_expected_passes(tmp_path: Path) -> None:
    expect = "{outcome: close, verdict: benign-positive, reason: signed-rule, rules: [scan], proposals: []}"
    report = run(written(tmp_path, one(expect)))
    assert report.passed
    assert report.untested == ("grave", "hands-off", "worm", "old")
    assert report.expired == ("old",)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ("{outcome: escalate}", ("outcome", "escalate", "close")),
        ("{verdict: test}", ("verdict", "test", "benign-positive")),
        ("{reason: allow-list}", ("reason", "allow-list", "signed-rule")),
        ("{rules: [grave]}", ("rules", "grave", "scan")),
        ("{proposals: ['host.isolate host:ws-1']}", ("proposals", "host.isolate host:ws-1", "none")),
        ("{forbidden: [close, hold]}", ("forbidden", "anything but close, hold", "close")),
    ],
)
def test_each_expectation_that_is_not_met_is_told(tmp_path: Path, expect: str, told: tuple[str, str, str]) -> None:
    (tried,) = run(written(tmp_path, one(expect))).tests
    assert [(found.what, found.expected, found.found) for found in tried.differences] == [told]


def test_a_proposal_may_be_expected_with_or_without_its_approval(tmp_path: Path) -> None:
    alert = "{techniques: [T1486], entities: ['host:ws-1 victim-host']}"
    for said in ("host.isolate host:ws-1", "host.isolate host:ws-1 (approval: human)"):
        assert run(written(tmp_path, one(f"{{proposals: ['{said}']}}", alert))).passed
    assert not run(written(tmp_path, one("{proposals: ['host.isolate host:ws-1 (approval: policy)']}", alert))).passed


def test_a_rule_that_keeps_hands_off_counts_as_exercised(tmp_path: Path) -> None:
    alert = "{techniques: [T1486], entities: ['host:dc01 victim-host']}"
    (tried,) = run(written(tmp_path, one("{proposals: []}", alert))).tests
    assert tried.rules == ("hands-off", "worm")


@pytest.mark.parametrize(
    ("around", "outcome", "reason"),
    [
        ("{kill_switch: true}", "escalate", "abstain-kill-switch"),
        ("{missing: inventory}", "escalate", "abstain-enrichment"),
        ("{status: escalated}", "escalate", "abstain-with-person"),
        ("{signed_by: 0}", "escalate", "policy-unsigned"),
        ("{stopped_rules: scan}", "escalate", "abstain-rules-running"),
        ("{severity: critical}", "escalate", "abstain-severity-floor"),
        ("{alerts_last_hour: 100000}", "escalate", "abstain-flood"),
    ],
)
def test_what_stands_around_the_case_counts(tmp_path: Path, around: str, outcome: str, reason: str) -> None:
    tests = one(f"{{outcome: {outcome}, reason: {reason}}}", more=f"    around: {around}\n")
    assert run(written(tmp_path, tests)).passed


def test_a_case_may_be_a_vendors_own_alert_or_a_bundle(tmp_path: Path) -> None:
    file = min(WAZUH.glob("*.json"))
    scope = Scope("test", "test", TenantKey.derived("test"))
    normalizer = REGISTRY.normalizer()
    made = [found for _, found in read_alerts(normalizer, "wazuh", file.read_bytes(), scope)]
    assert not any(isinstance(found, Refused) for found in made)
    (tmp_path / "raw.json").write_bytes(file.read_bytes())
    (tmp_path / "bundle.json").write_bytes(next(found.bundle for found in made if not isinstance(found, Refused)))
    name = next(found.alert.rule_name for found in made if not isinstance(found, Refused))
    policy = POLICY.replace("[Scan]", json.dumps([name]))
    tests = (
        "tests:\n"
        "  - {name: raw, raw: {product: wazuh, file: raw.json}, expect: {rules: [scan]}}\n"
        "  - {name: recognised, raw: {product: auto, file: raw.json}, expect: {rules: [scan]}}\n"
        "  - {name: bundle, stix: bundle.json, expect: {rules: [scan]}}\n"
    )
    report = run(written(tmp_path, tests, policy))
    assert [(tried.name, tried.differences) for tried in report.tests] == [
        ("raw", ()), ("recognised", ()), ("bundle", ())
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tests", "key", "line", "words"),
    [
        ("tests: []\n", "tests", 1, "at least one"),
        ("tests:\n  - {name: a, expect: {outcome: close}}\n", "tests[0]", 2, "exactly one of alerts, stix, raw"),
        ("tests:\n  - name: a\n    alerts: [{}]\n    expect: {}\n", "tests[0].expect", 4, "says nothing"),
        (
            "tests:\n  - name: a\n    alerts: [{colour: red}]\n    expect: {reason: x}\n",
            "tests[0].alerts[0].colour",
            3,
            "extra",
        ),
        (
            "tests:\n  - name: a\n    alerts: [{}]\n    expect: {proposals: [isolate]}\n",
            "tests[0].expect.proposals",
            4,
            "write a verb and a target",
        ),
        (
            "tests:\n" + 2 * "  - {name: a, alerts: [{}], expect: {reason: x}}\n",
            "tests[1].name",
            3,
            "twice",
        ),
    ],
)
def test_a_fault_says_where_what_and_what_to_do(tmp_path: Path, tests: str, key: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(written(tmp_path, tests))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert problem.message.startswith(f"line {line}: ")
    assert words in problem.message


@pytest.mark.parametrize("text", ["- a\n", "tests: [\n", "tests: 2026-13-01\n", "\xff"])
def test_what_is_no_file_of_tests_gets_a_clear_answer(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        run(written(tmp_path, text))


@pytest.mark.parametrize("name", ["starter", "scanner", "demo"])
def test_a_bundled_policy_passes_tests_that_exercise_all_of_it(name: str) -> None:
    result = run_cli("policy", "test", BUNDLED / f"{name}.yaml", "--strict", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["untested"] == []


def test_init_writes_a_policy_with_tests_that_pass(tmp_path: Path) -> None:
    make_config(tmp_path, "acme", "Acme", at=CASE_TIME)
    assert run_cli("policy", "test", tmp_path / "policies" / "acme.yaml", "--strict").exit_code == 0


def test_the_command_shows_the_difference_and_fails(tmp_path: Path) -> None:
    result = run_cli("policy", "test", written(tmp_path, one("{outcome: escalate}")))
    assert result.exit_code == 1
    assert "FAIL t\n" in result.stdout
    assert "- outcome: escalate\n" in result.stdout
    assert "+ outcome: close\n" in result.stdout
    assert "no test exercises: grave, hands-off, worm, old" in result.stdout


def test_strict_fails_for_a_rule_without_a_test(tmp_path: Path) -> None:
    file = written(tmp_path, one("{outcome: close}"))
    assert run_cli("policy", "test", file).exit_code == 0
    assert run_cli("policy", "test", file, "--strict").exit_code == 1


def test_tests_of_another_policy_are_refused(tmp_path: Path) -> None:
    result = run_cli("policy", "test", written(tmp_path, "policy: q\n" + one("{outcome: close}")), "--json")
    assert result.exit_code == 1
    assert "tests of 'q'" in json.loads(result.stdout)["error"]
    assert run_cli("policy", "test", tmp_path / "p.yaml", "--tests", tmp_path / "none.yaml").exit_code == 2

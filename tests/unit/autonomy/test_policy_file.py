import hashlib
from pathlib import Path

import pytest

from nightdesk.autonomy.policy_file import MAX_BYTES, parse_policy, read_policy
from nightdesk.sdk.errors import ConfigError

HEAD = "policy_id: p\nversion: 1\nrules:\n"
POLICIES = Path(parse_policy.__code__.co_filename).parent / "policies"


def rule(when: str, then: str, more: str = "") -> str:
    return f"{HEAD}  - {{id: r, owner: jane, {more} when: {when}, then: {then}}}\n"


def faults(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_policy(text.encode(), file="policy.yaml")
    assert all(problem.file == "policy.yaml" for problem in caught.value.problems)
    return {problem.key: problem.message for problem in caught.value.problems}


CLOSE = "{close: {verdict: benign-positive}}"
ESCALATE = "{escalate: {}}"


def test_a_policy_is_read_with_the_hash_of_its_file() -> None:
    text = rule("{rule_id: x}", CLOSE)
    policy = parse_policy(text.encode(), file="p")
    assert (policy.policy_id, policy.version, len(policy.rules)) == ("p", "1", 1)
    assert policy.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_line_ends_of_another_system_do_not_change_the_hash() -> None:
    text = rule("{rule_id: x}", CLOSE).encode()
    assert parse_policy(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"), file="p") == parse_policy(text, file="p")


@pytest.mark.parametrize(
    "path", sorted(set(POLICIES.glob("*.yaml")) - set(POLICIES.glob("*.tests.yaml"))), ids=lambda path: path.name
)
def test_a_bundled_policy_is_valid(path: Path) -> None:
    assert read_policy(path).rules


def test_all_problems_are_told_at_once_with_their_places() -> None:
    text = (
        "policy_id: P!\nversion: 1\ncolour: red\nrules:\n"
        "  - {id: a, owner: j, when: {severity_at_most: huge}, then: {escalate: {}}}\n"
        "  - {id: b, owner: j, when: {title: '*'}, then: {close: {verdict: benign-positive}}}\n"
        "  - {id: b, owner: j, then: {escalate: {}}}\n"
    )
    assert set(faults(text)) == {
        "policy_id",
        "colour",
        "rules[0].when.severity_at_most",
        "rules[1].when",
        "rules[1].when.title",
        "rules[2].id",
    }


@pytest.mark.parametrize(
    "when",
    [
        "{}",
        "{severity_at_most: low}",
        "{entities: [{kind: address, in: 192.0.2.1}]}",
        "{any: [{rule_id: x}, {severity_at_most: low}]}",
        "{not: {rule_id: x}}",
        "{tactics: TA0043}",
    ],
)
def test_a_rule_that_closes_must_name_the_detection(when: str) -> None:
    assert "must name the detection" in faults(rule(when, CLOSE))["rules[0].when"]


@pytest.mark.parametrize(
    "when",
    ["{rule_id: x}", "{rule_name: X}", "{all: [{rule_id: x}]}", "{any: [{rule_id: x}, {rule_name: y}]}"],
)
def test_a_rule_that_names_the_detection_may_close(when: str) -> None:
    assert parse_policy(rule(when, CLOSE).encode(), file="p").rules[0].closing is not None


@pytest.mark.parametrize("then", [CLOSE, "{recommend: {verdict: benign-positive}}"])
@pytest.mark.parametrize(
    ("condition", "key"),
    [
        ("title: scan", "title"),
        ("text: scan", "text"),
        ("severity_at_least: low", "severity_at_least"),
        ("case_alerts_at_least: 2", "case_alerts_at_least"),
        ("entities: [{kind: host, in: a}]", "entities[0].kind"),
        ("entities: [{kind: account, in: a}]", "entities[0].kind"),
        ("entities: [{kind: process, in: a}]", "entities[0].kind"),
        ("entities: [{kind: domain, in: example.com}]", "entities[0].kind"),
        ("entities: [{kind: device, in: 'dev-*'}]", "entities[0].in"),
        ("entities: [{kind: file, in: cmd.exe}]", "entities[0].in"),
        ("entities: [{kind: address, in: everywhere}]", "entities[0].in"),
        ("rule_name: 'X*'", "rule_name"),
        ("not: {severity_at_most: low}", "not.severity_at_most"),
        ("not: {not: {title: x}}", "not.not.title"),
        ("not: {not: {rule_id: 'x*'}}", "not.not.rule_id"),
    ],
)
def test_what_an_attacker_can_write_or_worsen_may_not_close(then: str, condition: str, key: str) -> None:
    found = set(faults(rule(f"{{rule_id: x, {condition}}}", then))) - {"rules[0].expires"}
    assert found == {f"rules[0].when.{key}"}


@pytest.mark.parametrize(
    "condition",
    [
        "entities: [{kind: address, in: 192.0.2.17}]",
        "all: [{entities: [{kind: address, in: 192.0.2.17}]}]",
        "any: [{entities: [{kind: file, in: 'sha256:%s'}]}, {severity_at_most: low}]" % ("ab" * 32),
    ],
)
def test_an_allow_list_ends(condition: str) -> None:
    """Guardrail 11."""
    when = f"{{rule_id: x, {condition}}}"
    assert "allow-list" in faults(rule(when, CLOSE))["rules[0].expires"]
    assert parse_policy(rule(when, CLOSE, "expires: 2027-06-30,").encode(), file="p").rules


def test_a_rule_that_only_keeps_things_out_needs_no_end() -> None:
    text = rule("{rule_id: x, not: {entities: [{kind: address, in: 192.0.2.17}]}}", CLOSE)
    assert parse_policy(text.encode(), file="p")


@pytest.mark.parametrize(
    ("when", "key"),
    [
        ("{severity_at_most: low}", "severity_at_most"),
        ("{not: {title: friendly}}", "not.title"),
        ("{not: {text: friendly}}", "not.text"),
        ("{not: {severity_at_least: high}}", "not.severity_at_least"),
        ("{not: {entities: [{kind: host, in: good}]}}", "not.entities[0].kind"),
    ],
)
def test_what_an_attacker_can_write_may_not_keep_a_rule_from_raising(when: str, key: str) -> None:
    assert set(faults(rule(when, ESCALATE))) == {f"rules[0].when.{key}"}


@pytest.mark.parametrize("when", ["{not: {title: evil}, rule_id: x}", "{not: {severity_at_least: high}, rule_id: x}"])
def test_the_same_matchers_may_keep_a_rule_from_closing(when: str) -> None:
    parse_policy(rule(when, CLOSE).encode(), file="p")


@pytest.mark.parametrize("word", ["techniques: T9999", "tactics: rudeness"])
def test_what_is_not_in_attack_is_refused(word: str) -> None:
    assert "not in ATT&CK" in next(iter(faults(rule(f"{{{word}}}", ESCALATE)).values()))


@pytest.mark.parametrize(
    ("then", "key"),
    [
        ("{}", "rules[0].then"),
        ("{close: {verdict: benign-positive}, escalate: {}}", "rules[0].then"),
        ("{close: {verdict: true-positive}}", "rules[0].then.close.verdict"),
        ("{escalate: {verdict: benign-positive}}", "rules[0].then.escalate.verdict"),
        ("{never_touch: {assets: a}}", "rules[0].when"),
    ],
)
def test_a_rule_does_one_thing_that_fits(then: str, key: str) -> None:
    assert key in faults(rule("{rule_id: x}", then))


@pytest.mark.parametrize(
    ("protected", "key"),
    [
        ("{}", ""),
        ("{addresses: here}", ".addresses"),
        ("{assets: 10.0.0.0/8}", ".assets"),
        ("{domains: https://bank.example.com}", ".domains"),
        ("{domains: '@bank.example.com'}", ".domains"),
        ("{domains: bank.example.com/login}", ".domains"),
    ],
)
def test_a_protected_set_names_something_real(protected: str, key: str) -> None:
    assert f"rules[0].then.never_touch{key}" in faults(rule("{}", f"{{never_touch: {protected}}}"))


@pytest.mark.parametrize(
    ("action", "approval", "key", "words"),
    [
        ("{verb: host.explode, target: host}", "human", "verb", "no verb"),
        ("{verb: case.open, target: host}", "human", "verb", "cannot propose"),
        ("{verb: host.release, target: host}", "human", "verb", "a person undoes it"),
        ("{verb: host.isolate, target: everyone}", "human", "target", "no entity kind or role"),
        ("{verb: host.isolate, target: attacker-address}", "human", "target", "acts on a host"),
        ("{verb: host.isolate, target: host, parameters: {speed: 9}}", "human", "parameters", "speed"),
        ("{verb: ip.block, target: attacker-address}", "policy", "verb", "R3"),
        ("{verb: process.terminate, target: process}", "policy", "verb", "policy approval"),
        ("{verb: host.run_script, target: host}", "policy", "verb", "R4"),
    ],
)
def test_a_proposal_is_checked_against_the_vocabulary(action: str, approval: str, key: str, words: str) -> None:
    found = faults(rule("{}", f"{{propose: {{approval: {approval}, actions: [{action}]}}}}"))
    assert words in found[f"rules[0].then.propose.actions[0].{key}"]


@pytest.mark.parametrize("day", ["2027-06-30", "'2027-06-30'"])
def test_a_date_is_the_last_day_of_a_rule(day: str) -> None:
    policy = parse_policy(rule("{rule_id: x}", CLOSE, f"expires: {day},").encode(), file="p")
    assert str(policy.rules[0].expires) == "2027-07-01 00:00:00+00:00"


@pytest.mark.parametrize("moment", ["2027-06-30T10:00:00", "2027-06-31", "next year!"])
def test_a_time_without_a_zone_or_sense_is_refused(moment: str) -> None:
    assert "rules[0].expires" in faults(rule("{rule_id: x}", CLOSE, f"expires: '{moment}',"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "no YAML"),
        ("- 1", "must be a mapping"),
        ("policy_id: a\npolicy_id: b\nversion: 1", "there twice"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("policy_id: a\nversion: 1\nwhen: 2026-13-01", "no YAML"),
        ("a: !!python/object:os.system {}", "no YAML"),
        ("x" * (MAX_BYTES + 1), "larger"),
    ],
    ids=["broken", "list", "duplicate", "alias", "date", "tag", "large"],
)
def test_what_is_no_policy_file_gets_a_clear_answer(text: str, words: str) -> None:
    assert words in " ".join(faults(text).values())


def test_bytes_that_are_no_text_get_a_clear_answer() -> None:
    with pytest.raises(ConfigError, match="no YAML"):
        parse_policy(b"\xff\xfe\x00\x00\xd8", file="p")


def test_rules_must_be_a_list() -> None:
    assert "rules" in faults("policy_id: p\nversion: 1\nrules: {a: 1}\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        read_policy(tmp_path / "gone.yaml")


BOOK = "playbook--ba67c1d1-e228-510a-9f7c-5f1d6ebf214d"


@pytest.mark.parametrize(
    ("written", "key", "words"),
    [
        (f"{{id: ransomware, sha256: {'a' * 64}}}", "id", "is no playbook's id"),
        (f"{{id: {BOOK}}}", "sha256", "signed for one content"),
        (f"{{id: {BOOK}, sha256: abc}}", "sha256", "signed for one content"),
        (f"{{id: {BOOK}, sha256: {'a' * 64}, inputs: {{host: host}}}}", "inputs", "write a name such as __host__"),
        (
            f"{{id: {BOOK}, sha256: {'a' * 64}, inputs: {{__host__: ws-1}}}}",
            "inputs.__host__",
            "no entity kind or role",
        ),
        (f"{{id: {BOOK}, sha256: {'a' * 64}, approval: nobody}}", "approval", "'human' or 'policy'"),
        (f"{{id: {BOOK}, sha256: {'a' * 64}, verdict: benign-positive}}", "verdict", "true-positive"),
        (f"{{sha256: {'a' * 64}}}", "id", "required"),
    ],
)
def test_a_playbook_is_named_exactly_and_for_one_content(written: str, key: str, words: str) -> None:
    assert words in faults(rule("{}", f"{{playbook: {written}}}"))[f"rules[0].then.playbook.{key}"]


def test_a_rule_starts_a_playbook_or_proposes_and_not_both() -> None:
    both = f"{{escalate: {{}}, playbook: {{id: {BOOK}, sha256: {'a' * 64}}}}}"
    assert "exactly one of" in faults(rule("{}", both))["rules[0].then"]


def test_a_rule_that_starts_a_playbook_is_a_raising_one() -> None:
    """Law 7: a worse alert must not escape it."""
    found = faults(rule("{severity_at_most: low}", f"{{playbook: {{id: {BOOK}, sha256: {'a' * 64}}}}}"))
    assert "a worse alert would escape the rule" in found["rules[0].when.severity_at_most"]

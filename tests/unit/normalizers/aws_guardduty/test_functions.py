"""What the GuardDuty mapping computes beside its paths."""

import json
from pathlib import Path
from typing import Any

import pytest

from nightdesk.normalizers.aws_guardduty.functions import console, finding, hostile, listed, values_of

_FOLDER = Path(__file__).parents[4] / "normalizers" / "aws_guardduty"
_STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], ["a"], {"service": []}, {"service": {"a": 1}})


def test_both_forms_are_mapped_alike() -> None:
    """The two files differ in how they know their form, and in nothing else."""
    texts = [(_FOLDER / name).read_text(encoding="utf-8") for name in ("findings.yaml", "eventbridge.yaml")]
    bodies = {text.partition("unwrap: detail\n")[2] for text in texts}
    assert len(bodies) == 1
    assert len(bodies.pop()) > 1000


def test_the_spelling_of_the_sdk_becomes_that_of_the_json() -> None:
    made = finding({"Service": {"Action": {"KubernetesApiCallAction": {"SourceIps": ["192.0.2.1"], "Verb": "get"}}}})
    assert made["service"]["action"]["kubernetesApiCallAction"] == {"sourceIPs": ["192.0.2.1"], "verb": "get"}


def test_the_document_itself_stays_as_it_was() -> None:
    document = {"service": {"additionalInfo": {"value": '{"sample": true}'}, "action": {"a": {"remoteIpDetails": {}}}}}
    before = json.dumps(document)
    finding(document)
    assert json.dumps(document) == before


def test_details_held_as_text_are_opened_and_a_text_that_is_none_stays() -> None:
    opened = finding({"service": {"additionalInfo": {"value": '{"sample": true}', "type": "default"}}})
    assert opened["service"]["additionalInfo"] == {"sample": True, "type": "default"}
    broken = finding({"service": {"additionalInfo": {"value": "{no json"}}})
    assert broken["service"]["additionalInfo"] == {"value": "{no json"}


def test_the_nearest_ancestor_is_the_parent_and_the_process_itself_is_none() -> None:
    lineage = [{"uuid": "own"}, {"uuid": "near"}, {"uuid": "far"}, {"uuid": "farther"}]
    made = finding({"service": {"runtimeDetails": {"process": {"uuid": "own", "lineage": lineage}}}})
    process = made["service"]["runtimeDetails"]["process"]
    assert process["parent"] == {"uuid": "near"}
    assert process["grandparent"] == {"uuid": "far"}
    assert process["lineage"] == [{"uuid": "farther"}]


@pytest.mark.parametrize(
    ("kind", "role", "wanted"),
    [
        ("UnauthorizedAccess:EC2/SSHBruteForce", "TARGET", True),
        ("UnauthorizedAccess:EC2/SSHBruteForce", "ACTOR", None),
        ("Impact:EC2/PortSweep", "ACTOR", None),
        ("Backdoor:EC2/C&CActivity.B", "ACTOR", True),
        ("Policy:IAMUser/RootCredentialUsage", "TARGET", None),
    ],
)
def test_the_other_end_is_hostile_unless_the_tenant_attacks_it(kind: str, role: str, wanted: bool | None) -> None:
    assert hostile({"type": kind, "service": {"resourceRole": role}}) is wanted


def test_only_a_threat_list_convicts_the_other_end() -> None:
    evidence = {"evidence": {"threatIntelligenceDetails": [{"threatListName": "list"}]}}
    assert listed({"type": "Trojan:EC2/X", "service": evidence}) is True
    assert listed({"type": "Policy:S3/X", "service": evidence}) is None
    assert listed({"type": "Trojan:EC2/X", "service": {"evidence": None}}) is None


def test_techniques_are_taken_by_their_ids_and_tactics_as_they_are() -> None:
    indicators = [
        {"key": "ATTACK_TECHNIQUE", "values": ["T1530 - Data from Cloud Storage", "T1087.004", "T1530"]},
        {"key": "ATTACK_TACTIC", "values": ["Exfiltration", 7]},
    ]
    assert values_of(indicators, "ATTACK_TECHNIQUE") == ["T1530", "T1087.004"]
    assert values_of(indicators, "ATTACK_TACTIC") == ["Exfiltration"]


def test_the_console_is_linked_where_the_partition_is_public_and_the_region_is_one() -> None:
    wanted = "https://console.aws.amazon.com/guardduty/home?region=eu-west-1#/findings?search=id%3Dab"
    assert console({"region": "eu-west-1", "id": "ab", "partition": "aws"}) == wanted
    assert console({"region": "cn-north-1", "id": "ab", "partition": "aws-cn"}) is None
    assert console({"region": "eu west/1", "id": "ab"}) is None


@pytest.mark.parametrize("value", _STRANGE)
def test_any_value_is_taken(value: Any) -> None:
    finding(value)
    hostile(value)
    listed(value)
    values_of(value, "ATTACK_TECHNIQUE")
    console(value)
    finding({"service": value, "resource": value})
    finding({"service": {"additionalInfo": value, "action": value, "runtimeDetails": value}, "resource": {"x": value}})

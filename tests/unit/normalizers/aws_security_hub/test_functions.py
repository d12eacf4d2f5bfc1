"""What the Security Hub mappings compute beside their paths."""

from typing import Any

import pytest

from nightdesk.normalizers.aws_security_hub.functions import hostile, hostile_end, resource_uid


def test_an_instance_is_known_by_its_own_id_and_anything_else_by_its_whole_id() -> None:
    assert resource_uid({"Id": "arn:aws:ec2:eu-west-1:111122223333:instance/i-0a1"}) == "i-0a1"
    assert resource_uid({"uid": "arn:aws:s3:::example"}) == "arn:aws:s3:::example"
    assert resource_uid({"name": "only-a-name"}) == "only-a-name"


def test_a_finding_on_configuration_has_no_attacker() -> None:
    assert hostile({"Types": ["Software and Configuration Checks/Vulnerabilities/CVE"]}) is None
    assert hostile({"Types": ["TTPs/Initial Access"]}) is True
    assert hostile({}) is True


@pytest.mark.parametrize(
    ("evidence", "source", "destination"),
    [
        ({"connection_info": {"direction_id": 1}}, True, None),
        ({"connection_info": {"direction": "Outbound"}}, None, True),
        ({"connection_info": {"direction_id": 2}, "api": {"operation": "x"}}, None, True),
        ({"api": {"operation": "ListUsers"}}, True, None),
        ({"connection_info": {"direction_id": 3}}, None, None),
    ],
)
def test_the_outside_end_follows_the_direction(evidence: Any, source: bool | None, destination: bool | None) -> None:
    assert hostile_end(evidence, "src") is source
    assert hostile_end(evidence, "dst") is destination


@pytest.mark.parametrize("value", [None, "", 0, True, [], {}, [{}], {"Types": {}}, {"connection_info": []}, {"Id": 7}])
def test_any_value_is_taken(value: Any) -> None:
    resource_uid(value)
    hostile(value)
    hostile_end(value, "src")

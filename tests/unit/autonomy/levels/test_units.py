"""A unit is one rule in one version at one tenant, and no name can pass for another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.levels.units import DecisionClass, Unit, class_of, entity_of, family_of, rule_key, rule_keys
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing.cases import a_case, an_alert, an_entity
from nightdesk.sdk.verbs import VERBS

parts = st.text(max_size=12)


@given(one=st.tuples(parts, parts.filter(bool), parts), other=st.tuples(parts, parts.filter(bool), parts))
def test_two_rules_never_have_one_key(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    plain = {tuple(part or "-" for part in one), tuple(part or "-" for part in other)}
    assert len({rule_key(*one), rule_key(*other)}) == len(plain)


@given(product=parts.filter(bool), name=parts, version=parts)
def test_a_key_is_a_unit_and_its_family_has_no_version(product: str, name: str, version: str) -> None:
    unit = Unit("acme", rule_key(product, name, version))
    assert unit.family == rule_key(product, name, "other").rpartition("@")[0]
    assert family_of(unit.rule) == unit.family


def test_the_rules_of_alerts_stand_once_and_in_order() -> None:
    made = [an_alert("a", rule_id="z"), an_alert("b", rule_id="a", rule_version="2"), an_alert("c", rule_id="z")]
    assert rule_keys(made) == ("acme_edr/a@2", "acme_edr/z@-")
    assert rule_keys([an_alert(rule_id="", rule_name="By name")]) == ("acme_edr/By name@-",)


@pytest.mark.parametrize(("tenant", "rule"), [("", "a/b@-"), ("*", "a/b@-"), ("acme", "b"), ("acme", "a/b/c@1")])
def test_a_unit_without_a_tenant_or_a_rule_is_refused(tenant: str, rule: str) -> None:
    with pytest.raises(PolicyError):
        Unit(tenant, rule)


def test_a_person_may_leave_the_version_out() -> None:
    assert Unit.parse("acme", "edr/r1").rule == "edr/r1@-"
    assert Unit.parse("acme", "edr/r1@3", "contain-host") == Unit("acme", "edr/r1@3", DecisionClass.CONTAIN_HOST)
    with pytest.raises(PolicyError, match="no decision class"):
        Unit.parse("acme", "edr/r1", "everything")


@pytest.mark.parametrize(
    ("verb", "found"),
    [
        ("host.isolate", DecisionClass.CONTAIN_HOST),
        ("process.terminate", DecisionClass.CONTAIN_HOST),
        ("account.disable", DecisionClass.CONTAIN_IDENTITY),
        ("credential.revoke", DecisionClass.CONTAIN_IDENTITY),
        ("hash.block", DecisionClass.BLOCK_INDICATOR),
        ("ip.block", DecisionClass.BLOCK_INDICATOR),
        ("alert.set_disposition", DecisionClass.CLOSE),
    ],
)
def test_every_verb_that_contains_has_a_class(verb: str, found: DecisionClass) -> None:
    assert verb in VERBS
    assert class_of(verb) is found


def test_a_verb_that_only_tells_has_none() -> None:
    with pytest.raises(PolicyError, match="nothing that could be earned"):
        class_of("notify.send")


def test_evidence_is_counted_under_the_host_before_the_account() -> None:
    entities = (an_entity("account:jdoe"), an_entity("host:b"), an_entity("host:a"), an_entity("address:192.0.2.1"))
    assert entity_of(a_case([an_alert(entities=entities)])) == "host:a"
    assert entity_of(a_case([an_alert(entities=entities[:1])])) == "account:jdoe"
    assert entity_of(a_case([an_alert(entities=())])) == ""

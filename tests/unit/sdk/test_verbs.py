import re

import pytest

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.verbs import VERBS, Risk, Verb, verb

# OpenC2 Language Specification 1.0, 3.3.1.1.
OPENC2_ACTIONS = frozenset(
    {
        "scan",
        "locate",
        "query",
        "deny",
        "contain",
        "allow",
        "start",
        "stop",
        "restart",
        "cancel",
        "set",
        "update",
        "redirect",
        "create",
        "delete",
        "detonate",
        "restore",
        "copy",
        "investigate",
        "remediate",
    }
)
# The same, 3.3.1.2; names of other profiles carry a prefix.
OPENC2_TARGETS = frozenset(
    {
        "artifact",
        "command",
        "device",
        "domain_name",
        "email_addr",
        "features",
        "file",
        "idn_domain_name",
        "idn_email_addr",
        "ipv4_net",
        "ipv6_net",
        "ipv4_connection",
        "ipv6_connection",
        "iri",
        "mac_addr",
        "process",
        "properties",
        "uri",
    }
)
EACH = pytest.mark.parametrize("one", VERBS.values(), ids=str)


@EACH
def test_a_verb_is_found_by_its_name(one: Verb) -> None:
    assert verb(one.name) is one
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", one.name)


@EACH
def test_a_verb_has_an_inverse_or_says_why_not(one: Verb) -> None:
    assert bool(one.inverse) != bool(one.no_inverse)
    assert one.reversible == bool(one.inverse)


@EACH
def test_an_inverse_undoes_the_same_kind_of_target_in_the_same_family(one: Verb) -> None:
    if not one.inverse:
        return
    other = verb(one.inverse)
    assert (other.target, other.role) == (one.target, one.role)
    if one.name != "case.open":  # closed by case.close, whose own inverse is to re-open
        assert other.inverse == one.name
        assert other.family == one.family


@EACH
def test_a_verb_is_openc2(one: Verb) -> None:
    action, target = one.openc2
    assert action in OPENC2_ACTIONS
    assert target in OPENC2_TARGETS or re.fullmatch(r"x-nightdesk:[a-z_]+", target)


@EACH
def test_defensive_techniques_are_d3fend_ids(one: Verb) -> None:
    assert all(re.fullmatch(r"D3-[A-Z]+", name) for name in one.d3fend)


def test_two_verbs_share_a_family_only_when_they_undo_each_other() -> None:
    for one in VERBS.values():
        members = {other.name for other in VERBS.values() if other.family == one.family}
        assert members == ({one.name, one.inverse} - {""} if one.name != "case.open" else {one.name})


def test_running_a_script_is_never_autonomous_and_isolating_a_host_can_be_undone() -> None:
    assert verb("host.run_script").risk is Risk.R4
    assert verb("host.isolate").inverse == "host.release"


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        VERBS["host.explode"] = verb("host.isolate")  # type: ignore[index]  # what the test is about


def test_an_unknown_verb_is_answered_with_what_there_is() -> None:
    with pytest.raises(
        UnsupportedError, match=r"no verb 'host\.explode'; there are: account\.add_to_group, .*host\.isolate"
    ):
        verb("host.explode")

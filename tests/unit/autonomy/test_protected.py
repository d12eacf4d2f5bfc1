from typing import Any

import pytest

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.protected import is_service_account, is_shared_address, protection_checks
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

POLICY = parse_policy(
    """
policy_id: p
version: 1
rules:
  - id: ours
    owner: j
    then:
      never_touch:
        assets: [line-*, "*.prod.example.com", vault-*.corp.example.com]
        accounts: [ceo, CORP\\boss, cfo@corp.example.com, "*@board.example.com", s-1-5-21-1-2-3-1105]
        addresses: [198.51.100.0/24, 10.9.0.0/16, "2001:db8:9::/48"]
        domains: [example.com, "*.corp.example.net", bücher.example.se, .dotted.example.net]
""".encode(),
    file="p",
)


def failing(text: str, facts: AssetFacts | None = None, policy: Policy = POLICY, **names: Any) -> set[str]:
    kind, _, value = text.partition(":")
    target = Target(TargetKind(kind), value, names)
    return {check.name for check in protection_checks(target, policy, facts) if not check.passed}


@pytest.mark.parametrize(
    "text",
    [
        "host:line-7",
        "host:web-1.prod.example.com",
        "account:ceo",
        "account:CORP\\ceo",
        "account:ceo@example.net",
        "address:198.51.100.9",
        "address:198.51.0.0/16",
        "domain:example.com",
        "domain:mail.example.com",
        "url:https://user@www.example.com:8443/x?y#z",
        "sender:boss@example.com",
        "host:web-1.prod.example.com.",
        "host:ｌｉｎｅ-7",
        "host:::ffff:198.51.100.9",
        "host:vault-1",
        "host:vault-1.corp.example.com.",
        "account:boss",
        "account:Corp\\BOSS",
        "account:CORP/boss",
        "account:boss@corp.example.com",
        "account:cfo",
        "account:CORP\\cfo",
        "account:anna@board.example.com",
        "domain:dotted.example.net",
        "url:https://www.dotted.example.net/x",
        "account:ＣＥＯ",
        "account:c\u200beo",
        "address:::ffff:198.51.100.9",
        "address:::ffff:198.51.100.0/120",
        "url:https://example.com./x",
        "url:https://a@b@example.com/x",
        "url:https://u:p@ss@example.com/x",
        "url:https://exa\tmple.com/x",
        "url:https://example.com#@bad.example.net/",
        "url:https://[2001:db8:9::1]:8443/x",
        "url:https://[::ffff:198.51.100.9]/x",
        "url:https://xn--bcher-kva.example.se/x",
        "url:https://BÜCHER.example.se/x",
        "domain:xn--bcher-kva.example.se",
        "indicator:domain:mail.example.com",
        "indicator:url:https://example.com./x",
    ],
)
def test_a_never_touch_rule_covers_every_form(text: str) -> None:
    assert "never-touch" in failing(text)


@pytest.mark.parametrize("text", ["domain:corp.example.net", "domain:example.se", "sender:example.net"])
def test_a_domain_above_what_a_rule_protects_would_be_blocked_with_it(text: str) -> None:
    assert "never-touch" in failing(text)


@pytest.mark.parametrize("text", ["domain:other.example.net", "domain:p.example.net", "sender:bob@example.net"])
def test_a_domain_beside_it_is_not(text: str) -> None:
    assert failing(text) == set()


@pytest.mark.parametrize("fact", ["email", "sid", "name", "login", "uid", "account_id"])
def test_an_account_is_covered_by_whatever_its_directory_would_be_asked_for(fact: str) -> None:
    for name, check in (
        ("CEO@corp.example.net", "never-touch"),
        ("S-1-5-21-1-2-3-1105", "never-touch"),
        ("S-1-5-21-1-2-3-502", "protected"),
    ):
        names: dict[str, Any] = {fact: name}
        assert failing("account:jdoe", **names) == {check}
    assert failing("account:jdoe", AssetFacts(names=(r"CORP\krbtgt",))) == {"protected"}


@pytest.mark.parametrize(
    "tag",
    ["domain-controllers", "DomainController", "Hypervisors", "backups", "role:ServiceAccounts", "PLCs", "jump server"],
)
def test_a_tag_says_the_same_however_it_is_written(tag: str) -> None:
    assert failing("host:ws-1", AssetFacts("workstation", (tag,))) == {"protected"}


@pytest.mark.parametrize("tag", ["robot", "position", "lots", "dcim-free", "adcs", "otter", "devips"])
def test_a_word_inside_of_another_says_nothing(tag: str) -> None:
    assert failing("host:ws-1", AssetFacts("workstation", (tag,))) == set()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("host:vault-1.lab.example.com", {}),
        ("host:vault-1", {"fqdn": "vault-1.lab.example.com"}),
        ("host:web-1", {}),
        ("account:LAB\\boss", {}),
        ("account:boss", {"login": "LAB\\boss"}),
        ("account:cfo@lab.example.com", {}),
        ("account:anna", {}),
        ("account:CORP\\anna", {}),
    ],
)
def test_one_that_is_known_to_be_of_another_realm_is_not(text: str, names: dict[str, Any]) -> None:
    assert failing(text, **names) == set()


def test_a_short_name_is_that_hosts_though_its_address_is_known() -> None:
    assert failing("host:vault-1", address="203.0.113.5") == {"never-touch"}


def test_a_host_is_covered_by_its_other_names_and_address() -> None:
    assert "never-touch" in failing("host:ws-1", hostname="LINE-9")
    assert "never-touch" in failing("host:ws-1", address="10.9.1.1")
    assert failing("host:ws-1", address="10.8.1.1") == set()


@pytest.mark.parametrize(
    "text",
    [
        "host:ws-0042",
        "account:jdoe",
        "address:203.0.113.9",
        "domain:example.org",
        "url:https://example.org/x",
        "sender:a@example.org",
    ],
)
def test_a_plain_target_is_not_protected(text: str) -> None:
    assert failing(text) == set()


@pytest.mark.parametrize("name", ["dc01", "HQ-DC-2", "backup1.example.net", "jump-eu", "dns_a"])
def test_a_host_whose_name_says_what_it_is_is_protected(name: str) -> None:
    assert failing(f"host:{name}", policy=Policy.unsigned()) == {"protected"}


@pytest.mark.parametrize(
    "facts",
    [
        AssetFacts(tags=("Domain Controller",)),
        AssetFacts(tags=("site:berlin", "role:Jump_Host")),
        AssetFacts(tags=("tier0-backup",)),
        AssetFacts("identity-provider"),
        AssetFacts("iot"),
    ],
)
def test_a_host_whose_inventory_says_what_it_is_is_protected(facts: AssetFacts) -> None:
    assert failing("host:ws-0042", facts) == {"protected"}


def test_an_alert_that_states_the_type_is_believed_when_it_protects() -> None:
    assert failing("host:ws-0042", AssetFacts("workstation"), asset_type="network-device") == {"protected"}


def test_a_word_in_a_device_id_protects_nothing() -> None:
    assert failing("host:ws-0042", device_id="edr:backup-77") == set()


def test_a_tag_that_only_contains_a_word_protects_nothing() -> None:
    assert failing("host:ws-0042", AssetFacts("workstation", ("dcim-export", "photos"))) == set()


@pytest.mark.parametrize(
    "name",
    [
        "SYSTEM",
        "NT AUTHORITY\\LOCAL SERVICE",
        "NETWORK_SERVICE",
        "root",
        "ws-0042$",
        "krbtgt",
        "svc_sql",
        "CORP\\svc-web",
        "S-1-5-18",
    ],
)
def test_a_service_account_is_recognised(name: str) -> None:
    assert is_service_account(name)
    assert "protected" in failing(f"account:{name}")


@pytest.mark.parametrize("name", ["jdoe", "CORP\\jdoe", "system.admin@example.com", "rooter"])
def test_a_person_is_no_service_account(name: str) -> None:
    assert not is_service_account(name)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "::1",
        "169.254.3.4",
        "fe80::1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "100.64.1.1",
        "10.0.0.1",
        "192.168.1.254",
        "172.16.4.255",
        "no address",
    ],
)
def test_an_address_that_many_share_is_recognised(text: str) -> None:
    assert is_shared_address(text)


@pytest.mark.parametrize("text", ["10.0.0.5", "203.0.113.1", "2001:db8::1", "100.63.1.1"])
def test_an_address_of_one_thing_is_not_shared(text: str) -> None:
    assert not is_shared_address(text)


def test_blocking_an_internal_or_shared_address_is_refused() -> None:
    assert failing("address:10.0.0.5") == {"protected"}
    assert failing("address:169.254.1.1") == {"selector"}


def test_a_selector_that_means_too_much_is_refused() -> None:
    assert failing("url:https:///path") == {"selector"}

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.targets import AccountQuery, AssetQuery, Target
from nightdesk.sdk.verbs import TargetKind

SHA256 = "ab" * 32


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("host: WS-0042 ", "host:ws-0042"),
        ("address:203.0.113.7", "address:203.0.113.7"),
        ("address:203.0.113.7/32", "address:203.0.113.7"),
        ("address:203.0.113.9/24", "address:203.0.113.0/24"),
        ("address:2001:DB8::0001", "address:2001:db8::1"),
        ("address:2001:db8::/48", "address:2001:db8::/48"),
        ("domain:Bad.Example.", "domain:bad.example"),
        ("sender:Eve@Bad.Example", "sender:eve@bad.example"),
        (f"file:{SHA256.upper()}", f"file:sha256:{SHA256}"),
        (f"file:SHA256:{SHA256}", f"file:sha256:{SHA256}"),
        (f"file:{'0a' * 16}", f"file:md5:{'0a' * 16}"),
        (f"file:sha1:{'0a' * 20}", f"file:sha1:{'0a' * 20}"),
        ("url:https://bad.example/A?b=*", "url:https://bad.example/A?b=*"),
        ("account:Ann", "account:Ann"),
    ],
)
def test_a_target_has_one_textual_form(text: str, key: str) -> None:
    target = Target.parse(text)
    assert str(target) == target.key == key
    assert Target.parse(target.key) == target


@pytest.mark.parametrize("kind", sorted(TargetKind))
@pytest.mark.parametrize("value", ["", " ", "*", "**", "%", "?", ".", "*.*", "all", "ANY", "none", "null", "true"])
def test_a_selector_that_could_mean_everything_is_refused_for_every_kind(kind: str, value: str) -> None:
    with pytest.raises(RejectedError, match="could mean everything"):
        Target.parse(f"{kind}:{value}")


@pytest.mark.parametrize(
    "text",
    [
        "address:0.0.0.0/0",
        "address:10.0.0.0/7",
        "address:::/0",
        "address:2001::/16",
        "domain:com",
        "domain:com.",
        "domain:*.example.com",
        "host:ws-*",
        "host:ws-00?",
        "account:adm*",
        "sender:*@example.com",
    ],
)
def test_a_selector_that_could_mean_many_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="could mean"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ws-0042", "write kind:value"),
        ("server:ws-0042", "kind one of account, address"),
        ("address:ws-0042", "not an IP address"),
        ("file:abc", "write a hash"),
        (f"file:{'zz' * 32}", "write a hash"),
        (f"file:md5:{SHA256}", "write a hash"),
    ],
)
def test_a_target_that_cannot_be_read_says_how_to_write_it(text: str, words: str) -> None:
    with pytest.raises(RejectedError, match=words):
        Target.parse(text)


@given(st.sampled_from(sorted(TargetKind)), st.text())
def test_any_text_is_a_stable_target_or_is_refused(kind: TargetKind, value: str) -> None:
    try:
        target = Target(kind, value)
    except RejectedError:
        return
    assert Target.parse(target.key) == target


def test_facts_do_not_make_another_target() -> None:
    plain = Target(TargetKind.HOST, "ws-1")
    known = Target(TargetKind.HOST, "WS-1", {"device_id": "d-1"})
    assert plain == known
    assert hash(plain) == hash(known)


@pytest.mark.parametrize(
    ("target", "name", "shape"),
    [
        (Target(TargetKind.HOST, "ws-1"), "device", {"device": {"hostname": "ws-1"}}),
        (Target(TargetKind.HOST, "d-1", {"hostname": "WS-1"}), "device", {"device": {"hostname": "WS-1"}}),
        (Target(TargetKind.FILE, SHA256), "file", {"file": {"hashes": {"sha256": SHA256}}}),
        (Target(TargetKind.ADDRESS, "203.0.113.0/24"), "ipv4_net", {"ipv4_net": "203.0.113.0/24"}),
        (Target(TargetKind.ADDRESS, "2001:db8::1"), "ipv4_net", {"ipv6_net": "2001:db8::1"}),
        (Target(TargetKind.DOMAIN, "bad.example"), "domain_name", {"domain_name": "bad.example"}),
        (Target(TargetKind.URL, "https://bad.example/"), "uri", {"uri": "https://bad.example/"}),
        (Target(TargetKind.PROCESS, "x.exe", {"pid": "7"}), "process", {"process": {"pid": 7}}),
        (Target(TargetKind.PROCESS, "x.exe"), "process", {"process": {"name": "x.exe"}}),
        (Target(TargetKind.ALERT, "a-1"), "x-nightdesk:alert", {"x-nightdesk:alert": {"uid": "a-1"}}),
    ],
)
def test_a_target_has_its_openc2_shape(target: Target, name: str, shape: dict[str, object]) -> None:
    assert target.openc2(name) == shape


@pytest.mark.parametrize(
    ("target", "query"),
    [
        (Target(TargetKind.HOST, "WS-1"), AssetQuery(hostname="ws-1")),
        (Target(TargetKind.HOST, "ws-1.corp.example"), AssetQuery(hostname="ws-1", fqdn="ws-1.corp.example")),
        (Target(TargetKind.HOST, "192.0.2.7"), AssetQuery(address="192.0.2.7")),
        (Target(TargetKind.HOST, "2001:db8::7"), AssetQuery(address="2001:db8::7")),
        (
            Target(TargetKind.HOST, "ws-1", {"address": "192.0.2.7", "device_id": "d-1"}),
            AssetQuery(hostname="ws-1", address="192.0.2.7", device_id="d-1"),
        ),
    ],
)
def test_a_host_is_looked_for_by_all_that_is_known(target: Target, query: AssetQuery) -> None:
    assert AssetQuery.of(target) == query


def test_only_a_host_has_an_asset() -> None:
    with pytest.raises(RejectedError, match="only a host"):
        AssetQuery.of(Target(TargetKind.URL, "https://bad.example/"))


@pytest.mark.parametrize(
    ("target", "query"),
    [
        (Target(TargetKind.ACCOUNT, "jdoe"), AccountQuery(name="jdoe")),
        (Target(TargetKind.ACCOUNT, r"CORP\jdoe"), AccountQuery(name="jdoe", domain="CORP")),
        (
            Target(TargetKind.ACCOUNT, "jdoe@corp.example"),
            AccountQuery(name="jdoe", email="jdoe@corp.example"),
        ),
        (Target(TargetKind.ACCOUNT, "S-1-5-21-1-2-3-500"), AccountQuery(sid="S-1-5-21-1-2-3-500")),
        (
            Target(TargetKind.MEMBERSHIP, "jdoe/Domain Admins", {"domain": "CORP", "account_id": "u-1"}),
            AccountQuery(name="jdoe", domain="CORP", native_id="u-1"),
        ),
        (Target(TargetKind.CREDENTIAL, "svc-backup/AKIAEXAMPLE"), AccountQuery(name="svc-backup")),
    ],
)
def test_an_account_is_looked_for_by_all_that_is_known(target: Target, query: AccountQuery) -> None:
    assert AccountQuery.of(target) == query


def test_only_an_account_is_asked_for_at_an_identity_provider() -> None:
    with pytest.raises(RejectedError, match="only an account"):
        AccountQuery.of(Target(TargetKind.HOST, "ws-1"))


def test_a_membership_has_a_group_and_a_credential_a_key_and_neither_without_a_slash() -> None:
    assert Target.parse("membership:jdoe/Admins/EMEA").group == "Admins/EMEA"
    assert Target.parse("credential:svc/AKIA1").key_id == "AKIA1"
    for target in (Target.parse("membership:jdoe"), Target.parse("membership:jdoe/ "), Target.parse("host:a/b")):
        with pytest.raises(RejectedError, match="write membership:ACCOUNT/GROUP"):
            _ = target.group
    with pytest.raises(RejectedError, match="write credential:OWNER/KEY"):
        _ = Target.parse("credential:svc").key_id


def test_an_indicator_is_about_something_observable() -> None:
    assert Target.parse("indicator:domain:Bad.Example.com").observable == Target(TargetKind.DOMAIN, "bad.example.com")
    for target in (Target.parse("domain:bad.example.com"), Target.parse("indicator:rule-7")):
        with pytest.raises(RejectedError, match="write"):
            _ = target.observable

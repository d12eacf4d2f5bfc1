import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.selectors import NOTHING_SHARED, Shared, fault, stands_for_many
from nightdesk.hub.shared import bundled
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, Risk

SHARED = Shared(("198.51.100.0/24", "2001:db8:1::/48"), frozenset({"pages.example.org", "mail.example.net"}))
EMPTY = {
    "md5": "d41d8cd98f00b204e9800998ecf8427e",
    "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


@pytest.mark.parametrize(
    ("verb", "target", "why"),
    [
        ("ip.block", "address:203.0.112.0/23", "/24 is the widest"),
        ("ip.block", "address:2001:db8::/47", "/48 is the widest"),
        ("ip.block", "address:127.0.0.1", "loopback"),
        ("ip.block", "address:::1", "loopback"),
        ("ip.block", "address:169.254.7.7", "link-local"),
        ("ip.block", "address:fe80::1", "link-local"),
        ("ip.block", "address:224.0.0.251", "multicast"),
        ("ip.block", "address:ff02::1", "multicast"),
        ("ip.block", "address:255.255.255.255", "broadcast"),
        ("ip.block", "address:10.1.2.3", "inside"),
        ("ip.block", "address:172.16.0.0/24", "inside"),
        ("ip.block", "address:192.168.1.0/24", "inside"),
        ("ip.block", "address:100.64.0.9", "inside"),
        ("ip.block", "address:fd00::7", "inside"),
        ("ip.block", "address:::ffff:10.1.2.3", "inside"),
        ("ip.block", "address:::ffff:127.0.0.1", "loopback"),
        ("ip.block", "address:::ffff:203.0.112.0/119", "/24 is the widest"),
        ("ip.block", "address:::ffff:0:0/96", "all of IPv4"),
        ("ip.block", "address:::ffff:128.0.0.0/97", "all of IPv4"),
        ("ip.block", "address:::ffc0:0:0/90", "all of IPv4"),
        ("ip.block", "address:::ffff:203.0.0.0/104", "/24 is the widest"),
        ("ip.block", "address:64:ff9b::/96", "inside of an IPv6"),
        ("ip.block", "address:64:ff9b::a01:203", "inside of an IPv6"),
        ("ip.block", "address:::a01:203", "inside of an IPv6"),
        ("domain.block", "domain:co.uk", "public suffix"),
        ("domain.block", "domain:010.1.2.3", "four numbers"),
        ("domain.block", "domain:bad\u200b.example.com", "nobody sees"),
        ("domain.block", "domain:github.io", "public suffix"),
        ("domain.block", "domain:bad[0-9].example.com", "pattern"),
        ("domain.block", "domain:203.0.113.9", "no domain"),
        ("url.block", "url:https://co.uk/x", "public suffix"),
        ("url.block", "url:https://*.example.com/x", "many"),
        ("url.block", "url:https://localhost/x", "many"),
        ("url.block", "url:https:///x", "without a host"),
        ("url.block", "url:https://[::1/x", "cannot be read"),
        ("url.block", "url:https://169.254.169.254/latest", "link-local"),
        ("url.block", "url:https://0x7f.0.0.1/x", "four numbers"),
        ("url.block", "url:https://127.1/x", "four numbers"),
        ("url.block", "url:https://0313.0.113.9./x", "four numbers"),
        ("url.block", "url:https://[::ffff:169.254.169.254]/x", "link-local"),
        ("url.block", "url:https://bad.example.com\\@example.net/x", "backslash"),
        ("url.block", "url:https://ＰＡＧＥＳ.example.org", "with its path"),
        ("url.block", "url:https://pages.example.org", "with its path"),
        ("url.block", "url:https://www.pages.example.org/", "with its path"),
        ("account.disable", r"account:CORP\Domain Users", "everybody"),
        ("account.disable", "account:Everyone", "everybody"),
        ("account.disable", "account:S-1-1-0", "everybody"),
        ("account.disable", "account:S-1-5-21-1-2-3-513", "everybody"),
        ("account.disable", "account:(cn=a)(cn=b)", "pattern"),
        ("account.disable", "account:everyone@corp.example.com", "everybody"),
        ("account.disable", "account:ｅｖｅｒｙｏｎｅ", "everybody"),
        ("account.disable", "account:jd\u200boe", "nobody sees"),
        ("account.disable", r"account:a\d", "pattern"),
        ("account.disable", r"account:\w+", "pattern"),
        ("account.disable", r"account:CORP\sales\jdoe", "pattern"),
        ("account.remove_from_group", "membership:jdoe/every\u200bone", "everybody"),
        ("account.revoke_sessions", "account:all_users", "everybody"),
        ("account.remove_from_group", "membership:jdoe/Domain Users", "everybody"),
        ("account.remove_from_group", "membership:everyone/finance", "everybody"),
        ("account.remove_from_group", "membership:jdoe/fin*", "pattern"),
        ("account.remove_from_group", "membership:jdoe", "write membership:ACCOUNT/GROUP"),
        ("credential.revoke", "credential:everyone/key", "everybody"),
        ("host.isolate", "host:ws-[0-9]+", "pattern"),
        ("host.isolate", "host:a|b", "pattern"),
        ("host.isolate", "host:ws%", "pattern"),
        ("host.isolate", "host:10.0.0.0/24", "a network is no host"),
        ("host.isolate", "host:localhost", "own name"),
        ("host.isolate", "host:127.0.0.1", "loopback"),
        ("host.isolate", "host:010.0.0.5", "four numbers"),
        ("host.isolate", "host:ws\u00ad-0042", "nobody sees"),
        ("host.scan", "host:a|b", "pattern"),
        ("sender.block", "sender:@example.com", "pattern"),
        ("sender.block", "sender:com", "public suffix"),
        ("sender.block", "sender:a@co.uk", "public suffix"),
        ("sender.block", "sender:(a|b)@example.com", "pattern"),
        ("hash.block", f"file:{'0' * 64}", "zeros"),
        ("hash.block", f"file:{'0' * 32}", "zeros"),
        *[("hash.block", f"file:{name}:{digest}", "empty file") for name, digest in EMPTY.items()],
        ("file.quarantine", f"file:{EMPTY['sha1']}", "empty file"),
        ("indicator.publish", "indicator:domain:co.uk", "public suffix"),
        ("indicator.publish", "indicator:address:10.0.0.1", "inside"),
        ("indicator.publish", "indicator:nonsense", "write kind:value"),
        ("indicator.publish", "indicator:indicator:domain:bad.example.com", "not about another indicator"),
        ("indicator.publish", "indicator:account:jd\u200boe", "nobody sees"),
        ("artifact.detonate", f"artifact:{EMPTY['md5']}", "empty file"),
        ("artifact.detonate", "artifact:https://pages.example.org/", "with its path"),
    ],
)
def test_what_could_mean_many_is_refused_with_its_reason(verb: str, target: str, why: str) -> None:
    said = fault(verb, Target.parse(target), SHARED)
    assert why in said
    assert verb in said


@pytest.mark.parametrize(
    ("verb", "target"),
    [
        ("ip.block", "address:203.0.113.0/24"),
        ("ip.block", "address:203.0.113.9"),
        ("ip.block", "address:2001:db8:1::/48"),
        ("domain.block", "domain:evil.co.uk"),
        ("domain.block", "domain:mallory.github.io"),
        ("url.block", "url:https://pages.example.org/mallory"),
        ("url.block", "url:https://pages.example.org/?file=1"),
        ("url.block", "url:bad.example.com/x"),
        ("url.block", "url:http://203.0.113.9:8080/a[0]"),
        ("account.disable", r"account:CORP\jdoe"),
        *[("account.disable", f"account:CORP\\{name}") for name in ("bob", "dave", "sarah", "WILL", "s.miller", "d1")],
        ("credential.revoke", r"credential:CORP\bob/KEY"),
        ("account.disable", "account:jane.doe+x@example.com"),
        ("domain.block", "domain:böse.example.com"),
        ("domain.block", "domain:4chan.example.com"),
        ("ip.block", "address:::ffff:203.0.113.9"),
        ("account.disable", "account:WS-0042$"),
        ("account.disable", "account:arn:aws:iam::123456789012:user/jdoe"),
        ("account.remove_from_group", "membership:jdoe/Payment (approve) [EU]"),
        ("host.isolate", "host:ws-0042.corp.example.com"),
        ("host.isolate", "host:10.0.0.5"),
        ("sender.block", "sender:bounce+a=b@bad.example.com"),
        ("sender.block", "sender:bad.example.com"),
        ("hash.block", f"file:{'a' * 64}"),
        ("email.quarantine", "email:<a@b>"),
        ("process.terminate", "process:Evil (1).exe"),
        ("artifact.detonate", "artifact:sample-17"),
    ],
)
def test_what_means_one_thing_is_let_through(verb: str, target: str) -> None:
    assert fault(verb, Target.parse(target), SHARED) == ""


@pytest.mark.parametrize("text", ["address:0.0.0.0/0", "address:::/0", "host:*", "domain:%", "account:", "domain:com"])
def test_what_means_everything_is_no_target_at_all(text: str) -> None:
    with pytest.raises(RejectedError, match="could mean"):
        Target.parse(text)


def test_taking_back_and_reading_are_never_held_up() -> None:
    wide = Target.parse("address:10.0.0.0/16")
    assert fault("ip.block", wide)
    assert fault("ip.unblock", wide) == ""
    assert fault("search.run", Target.parse("search:index=main a|b")) == ""


@given(st.sampled_from(sorted(VERBS)), st.ip_addresses(v=4), st.integers(8, 23))
def test_no_wide_network_passes_for_any_verb_that_acts_on_addresses(
    verb: str, address: ipaddress.IPv4Address, prefix: int
) -> None:
    wanted = VERBS[verb]
    network = ipaddress.ip_network((int(address), prefix), strict=False)
    if wanted.target == "address" and wanted.risk >= Risk.R2 and wanted.name == wanted.family:
        assert fault(verb, Target.parse(f"address:{network}"))


def test_what_many_are_behind_is_told_apart_from_what_is_below_it() -> None:
    assert stands_for_many(Target.parse("address:198.51.100.7"), SHARED) == "198.51.100.0/24"
    assert stands_for_many(Target.parse("address:198.51.0.0/16"), SHARED) == "198.51.100.0/24"
    assert stands_for_many(Target.parse("address:203.0.113.7"), SHARED) == ""
    assert stands_for_many(Target.parse("domain:pages.example.org"), SHARED) == "pages.example.org"
    assert stands_for_many(Target.parse("domain:mallory.pages.example.org"), SHARED) == ""
    assert stands_for_many(Target.parse("indicator:domain:pages.example.org"), SHARED) == "pages.example.org"
    assert stands_for_many(Target.parse("sender:mail.example.net"), SHARED) == "mail.example.net"
    assert stands_for_many(Target.parse("sender:mallory@mail.example.net"), SHARED) == ""
    assert stands_for_many(Target.parse("host:ws-0042"), SHARED) == ""


def test_the_bundled_list_knows_the_usual_places() -> None:
    known = bundled()
    assert stands_for_many(Target.parse("address:104.16.1.1"), known)
    assert stands_for_many(Target.parse("address:8.8.8.8"), known)
    assert fault("url.block", Target.parse("url:https://drive.google.com/"), known)
    assert not fault("url.block", Target.parse("url:https://drive.google.com/file/d/1"), known)
    assert not fault("url.block", Target.parse("url:https://drive.google.com/"), NOTHING_SHARED)

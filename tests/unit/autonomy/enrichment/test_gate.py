import pytest

from nightdesk.autonomy.enrichment.gate import inside, refusal
from nightdesk.sdk.testing.cases import an_entity

OUTSIDE = an_entity("domain:bad.example.com")


@pytest.mark.parametrize(
    ("audience", "tlp", "pap", "asked"),
    [
        ("none", "red", "red", True),
        ("vendor", "clear", "clear", True),
        ("vendor", "amber", "amber", True),
        ("vendor", "amber+strict", "clear", False),
        ("vendor", "red", "clear", False),
        ("vendor", "clear", "red", False),
        ("community", "green", "clear", True),
        ("community", "amber", "clear", False),
        ("public", "green", "clear", False),
        ("public", "clear", "clear", True),
        ("vendor", "nonsense", "clear", False),
    ],
)
def test_nobody_is_asked_whom_a_marking_leaves_out(audience: str, tlp: str, pap: str, asked: bool) -> None:
    assert (refusal(OUTSIDE, audience, tlp, pap) == "") is asked  # type: ignore[arg-type]  # words of the manifest


def test_the_tenants_own_product_is_asked_about_what_it_watches_itself() -> None:
    host = an_entity("host:ws-1")
    assert refusal(host, "vendor", "amber+strict", "red", own_product=True) == ""
    assert "TLP:RED" in refusal(host, "vendor", "red", "clear", own_product=True)


def test_a_marking_on_the_thing_itself_closes_the_gate_and_never_opens_it() -> None:
    assert "TLP:RED" in refusal(an_entity("domain:bad.example.com", tlp="red"), "vendor", "clear", "clear")
    assert "PAP:RED" in refusal(an_entity("domain:bad.example.com", pap="red"), "vendor", "clear", "clear")
    assert refusal(an_entity("domain:bad.example.com", tlp="clear"), "vendor", "red", "clear")


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("address:10.1.2.3", True),
        ("address:192.0.2.7", False),
        ("address:fd00::1", True),
        ("address:2001:db8::1", False),
        ("domain:fileserver", True),
        ("domain:dc1.corp", True),
        ("domain:bad.example.com", False),
        ("url:https://bad.example.com/x", False),
        ("url:https://jane:secret@bad.example.com/x", True),
        ("url:http://10.0.0.1/x", True),
        ("url:http://[fd00::1]/x", True),
        ("url:http://203.0.113.9/x", False),
        ("url:http://[broken", True),
        ("file:sha256:" + "a" * 64, False),
    ],
)
def test_what_only_we_know_is_told_to_nobody(key: str, ours: bool) -> None:
    assert inside(an_entity(key)) is ours

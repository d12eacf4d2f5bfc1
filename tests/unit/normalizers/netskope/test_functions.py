"""What the Netskope mappings compute beside their paths."""

from typing import Any

import pytest

from nightdesk.normalizers.netskope.functions import device_kind, given, hostile, malware, page, site


def test_fillers_are_left_out_and_what_says_something_stays() -> None:
    record = {"a": 0, "b": "N/A", "c": "NotAvailable", "d": False, "e": "no", "f": 1, "g": 0.0}
    assert given(record) == {"d": False, "e": "no", "f": 1}
    assert record["a"] == 0


def test_a_malicious_site_is_hostile_and_a_cloud_application_with_malware_is_not() -> None:
    assert hostile({"alert_type": "malsite"}) is True
    assert hostile({"alert_type": "policy", "malicious": "yes"}) is True
    assert hostile({"alert_type": "Malware", "type": "nspolicy"}) is None
    assert malware({"alert_type": "Malware"}) is True
    assert malware({"alert_type": "DLP"}) is None


def test_a_page_has_the_scheme_of_its_protocol_or_is_no_page() -> None:
    assert page({"url": "a.example.com/x", "protocol": "HTTPS/2"}) == "https://a.example.com/x"
    assert page({"url": "a.example.com/x", "protocol": "HTTP/1.1"}) == "http://a.example.com/x"
    assert page({"url": "ftp://a.example.com/x"}) == "ftp://a.example.com/x"
    assert page({"url": "a.example.com/x", "protocol": ""}) is None


def test_a_site_is_the_host_alone() -> None:
    assert site({"url": "https://a.example.com:8443/x?y"}) == "a.example.com"
    assert site({"dsthost": "b.example.com", "url": "a.example.com"}) == "b.example.com"
    assert site({}) is None


@pytest.mark.parametrize(
    ("word", "kind"),
    [("Windows Device", "workstation"), ("iPhone", "mobile"), ("Windows Server", "server"), ("Other", None), (7, None)],
)
def test_the_kind_of_machine_follows_its_word(word: Any, kind: str | None) -> None:
    assert device_kind(word) == kind


@pytest.mark.parametrize("value", [None, "", 0, True, [], {}, [{}], {"url": 7}, {"alert_type": []}, {"url": "://"}])
def test_any_value_is_taken(value: Any) -> None:
    for function in (given, hostile, malware, page, site, device_kind):
        function(value)

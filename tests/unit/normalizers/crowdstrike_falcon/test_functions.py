import pytest

from nightdesk.normalizers.crowdstrike_falcon.functions import FUNCTIONS
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.observables import Observables
from nightdesk.stix.scope import Scope

SHA = "3b7d" * 16
ELEMENT = {"path": "C:\\Temp\\a.exe", "name": "a.exe", "inner": {"sha": SHA}, "user": "CORP\\ida", "sid": "S-1-5-18"}


def _builder() -> Observables:
    return Observables(Scope("acme", "Acme GmbH", TenantKey(bytes(range(32)))), "crowdstrike_falcon", lambda *_: None)


def test_a_file_is_named_as_the_bundle_names_it() -> None:
    made = _builder().file(path="C:\\Temp\\a.exe", name="a.exe", hashes=[SHA])
    assert FUNCTIONS["file_id"](ELEMENT, "path", "name", "inner.sha") == made
    assert FUNCTIONS["file_id"]([ELEMENT, {}], "path", "-", "inner.sha") == made


def test_an_account_is_named_as_the_bundle_names_it() -> None:
    made = _builder().account(login="CORP\\ida", uid="S-1-5-18")
    assert FUNCTIONS["account_id"](ELEMENT, "user", "sid") == made


@pytest.mark.parametrize("element", [None, "redacted", [], {}, {"path": 7}])
def test_what_is_no_file_has_no_id(element: object) -> None:
    assert FUNCTIONS["file_id"](element, "path", "name", "inner.sha") is None


@pytest.mark.parametrize(
    ("written", "read"),
    [("C:\\Temp", "C:\\Temp\\"), ("/tmp", "/tmp/"), ("/tmp/", "/tmp/"), ("C:\\T\\", "C:\\T\\"), ("", None), (7, None)],
)
def test_a_directory_ends_in_its_separator(written: object, read: str | None) -> None:
    assert FUNCTIONS["folder"](written) == read


def test_the_first_element_speaks_and_all_are_joined() -> None:
    assert FUNCTIONS["first"]([ELEMENT, {"name": "b.exe"}], "inner.sha") == SHA


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"logon_domain": "ws-7", "device": {"hostname": "WS-7.corp.example.com"}}, "windows-local"),
        ({"LogonDomain": "WS-7", "Hostname": "WS-7"}, "windows-local"),
        ({"logon_domain": "CORP", "device": {"hostname": "WS-7"}}, None),
        ({"logon_domain": "", "device": {"platform_name": "Linux"}}, "unix"),
        ({"device": {"platform_name": "Windows"}}, None),
        ("redacted", None),
    ],
)
def test_a_logon_domain_that_is_the_machine_is_a_local_account(record: object, kind: str | None) -> None:
    assert FUNCTIONS["account_kind"](record) == kind


@pytest.mark.parametrize(
    ("record", "bad"),
    [
        ({"pattern_disposition_details": {"quarantine_file": True}}, True),
        ({"PatternDispositionFlags": {"QuarantineFile": False}}, None),
        ({"ioc_type": "hash_sha256", "technique": "Sensor-based ML"}, True),
        ({"IOCType": "hash_sha256", "Technique": "Indicator of Attack"}, None),
        ({"ioc_type": "domain"}, None),
        ([], None),
    ],
)
def test_only_falcon_itself_convicts_a_file(record: object, bad: bool | None) -> None:
    assert FUNCTIONS["convicts"](record) is bad


def test_a_hash_of_the_records_own_file_is_not_told_twice() -> None:
    other = "77e2" * 16
    record = {"IOCType": "hash_sha256", "IOCValue": f"{SHA.upper()}, {other},x", "SHA256String": SHA}
    assert FUNCTIONS["ioc_hashes"](record) == [other]
    assert FUNCTIONS["ioc_hashes"]({**record, "IOCType": "domain"}) == []
    assert FUNCTIONS["ioc_hashes"]("redacted") == []

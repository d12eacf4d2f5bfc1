import pytest

from nightdesk.normalizers.sentinelone.functions import FUNCTIONS

KILLED = {"action": "kill", "status": "success"}
QUARANTINED = {"action": "quarantine", "status": "success"}


def _threat(state: str, *done: object, early: bool = False) -> dict[str, object]:
    return {"threatInfo": {"mitigationStatus": state, "mitigatedPreemptively": early}, "mitigationStatus": list(done)}


@pytest.mark.parametrize(
    ("threat", "done"),
    [
        (_threat("mitigated", KILLED, QUARANTINED), "quarantined"),
        (_threat("mitigated", KILLED, {"action": "quarantine", "status": "failed"}), "killed"),
        (_threat("mitigated", QUARANTINED, early=True), "prevented"),
        (_threat("mitigated", {"action": "remediate", "status": "success"}), "mitigated"),
        (_threat("not_mitigated", KILLED), None),
        (_threat("marked_as_benign", KILLED), None),
        ({"threatInfo": "redacted", "mitigationStatus": "redacted"}, None),
        (None, None),
    ],
)
def test_a_threat_was_stopped_as_far_as_the_console_says(threat: object, done: str | None) -> None:
    assert FUNCTIONS["stopped"](threat) == done


@pytest.mark.parametrize(
    ("info", "convicted"),
    [
        ({"cloudFilesHashVerdict": "black"}, True),
        ({"detectionEngines": [{"key": "user_blacklist"}]}, True),
        ({"detectionEngines": [{"key": "executables"}], "confidenceLevel": "malicious"}, None),
        ({"cloudFilesHashVerdict": "black", "analystVerdict": "false_positive"}, None),
        ({"detectionEngines": "Behavioral AI"}, None),
        ("redacted", None),
    ],
)
def test_a_hash_is_convicted_by_lists_and_never_by_behaviour(info: object, convicted: bool | None) -> None:
    assert FUNCTIONS["convicts"](info) is convicted


@pytest.mark.parametrize(
    ("user", "host", "system", "kind"),
    [
        ("WS-7\\ida", "ws-7.corp.example.com", "windows", "windows-local"),
        ("ACME\\ida", "ws-7", "windows", None),
        ("root", "srv-1", "linux", "unix"),
        ("ida", "ws-7", "windows", None),
    ],
)
def test_an_account_of_the_machine_itself_is_local(user: str, host: str, system: str, kind: str | None) -> None:
    live = {"agentComputerName": host, "agentOsType": system}
    assert FUNCTIONS["account_kind"]({"threatInfo": {"processUser": user}, "agentRealtimeInfo": live}) == kind


def test_a_cloud_is_the_first_that_says_something() -> None:
    providers = {"Azure": {}, "AWS": {"cloudAccount": "123456789012", "cloudTags": ["a"]}}
    assert FUNCTIONS["cloud"](providers) == "aws"
    assert FUNCTIONS["cloud"](providers, "cloudAccount") == "123456789012"
    assert FUNCTIONS["cloud"](providers, "cloudTags") is None
    assert FUNCTIONS["cloud"]({}) is None
    assert FUNCTIONS["cloud"]("AWS") is None


def test_a_dns_answer_gives_its_addresses_once_each() -> None:
    answer = "type: 5 a.example.net;192.0.2.7;2001:db8::7;192.0.2.7;300.1.1.1;"
    assert FUNCTIONS["addresses_in"](answer) == ["192.0.2.7", "2001:db8::7"]
    assert FUNCTIONS["addresses_in"](7) == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("MACHINE\\SOFTWARE\\Run", "HKEY_LOCAL_MACHINE\\SOFTWARE\\Run"),
        ("USER\\S-1-5-18\\Run", "HKEY_USERS\\S-1-5-18\\Run"),
        ("HKLM\\Run", "HKLM\\Run"),
        ("MACHINE", "MACHINE"),
        (" ", None),
        (["MACHINE\\x"], None),
    ],
)
def test_a_hive_is_named_as_windows_names_it(written: object, read: str | None) -> None:
    assert FUNCTIONS["hive"](written) == read


def test_an_indicator_is_of_its_own_kind_only() -> None:
    record = {"tiIndicatorType": "SHA256", "tiIndicatorValue": "ab" * 32}
    assert FUNCTIONS["intelligence"](record, "hash") == "ab" * 32
    assert FUNCTIONS["intelligence"](record, "domain") is None
    assert (
        FUNCTIONS["intelligence"]({"tiindicatortype": "DNS", "tiindicatorvalue": "a.example"}, "domain") == "a.example"
    )
    assert FUNCTIONS["intelligence"]({"tiIndicatorType": "DNS", "tiIndicatorValue": ""}, "domain") is None


def test_lists_are_told_in_one_line() -> None:
    assert FUNCTIONS["actions"]([KILLED, {"action": "quarantine"}, KILLED, 7]) == "kill: success, quarantine: unknown"
    assert FUNCTIONS["actions"]("redacted") is None
    assert FUNCTIONS["joined"]([{"a": "x"}, {"a": "y"}, {"a": "x"}, {"a": 7}, None], "a") == "x; y"

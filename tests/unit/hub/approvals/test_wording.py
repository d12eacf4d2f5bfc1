from typing import Any

import pytest

from nightdesk.hub.approvals.wording import is_whole, lines_of, text_of, title_of


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "tenant": "acme",
        "action_id": "act-1",
        "round": 1,
        "verb": "host.isolate",
        "risk": "R2",
        "target": {"kind": "host", "value": "ws-0042", "facts": {"device_id": "dev-1"}},
        "parameters": {"mode": "selective", "depth": 3},
        "lease_seconds": 5400.0,
        "stop_at": None,
        "reason": "it beacons",
        "requested_by": "rob",
        "case_id": "case-1",
        "accepted_losses": ["mode"],
        "connector": "edr",
        "native_id": "dev-1",
        "losses": ["mode"],
        "because": "",
        "needed": 2,
        "expires_at": "2026-11-01T13:00:00+00:00",
        **changes,
    }


def test_a_text_is_whole_up_to_its_last_letter() -> None:
    """What ``is_whole`` allows to be answered is what the text leaves uncut."""
    for length, whole in ((1200, True), (1201, False)):
        long = facts(reason="x" * length)
        assert (is_whole(long), "more characters" not in text_of(long, "d")) == (whole, whole)


def test_every_fact_of_the_digest_is_read_by_people() -> None:
    """A fact that is hashed and not shown would be approved unseen."""
    before = text_of(facts(), "d" * 64)
    changes: dict[str, Any] = {
        "tenant": "globex",
        "action_id": "act-2",
        "round": 2,
        "verb": "host.release",
        "risk": "R3",
        "target": {"kind": "host", "value": "ws-0042", "facts": {"device_id": "dev-2"}},
        "parameters": {"mode": "selective", "depth": 4},
        "lease_seconds": None,
        "stop_at": "2026-11-01T13:30:00+00:00",
        "reason": "",
        "requested_by": "dora",
        "case_id": "",
        "accepted_losses": [],
        "connector": "",
        "native_id": "dev-2",
        "losses": [],
        "because": "a guard",
        "needed": 1,
        "expires_at": "2026-11-01T13:00:01+00:00",
    }
    assert set(changes) == set(facts())
    for name, value in changes.items():
        assert text_of(facts(**{name: value}), "d" * 64) != before, name


@pytest.mark.parametrize(
    "hostile",
    [
        "x\nConnector: other",
        'x"\nRisk: R0',
        "\u202egnp.exe",
        "{{ 7*7 }}{% raw %}",
        "<script>alert(1)</script>",
        "a\x1b[2Jb",
        "\u2028Tenant: other",
    ],
)
def test_what_others_wrote_stays_one_quoted_line(hostile: str) -> None:
    for place in ("reason", "case_id", "requested_by", "native_id"):
        text = text_of(facts(**{place: hostile}), "d" * 64)
        assert len(text.splitlines()) == len(text_of(facts(), "d" * 64).splitlines())
        assert ("{{ 7*7 }}" in text) == ("{{ 7*7 }}" in hostile)
        assert all(char.isprintable() or char == "\n" for char in text)
    target = {"kind": "host", "value": hostile, "facts": {hostile: hostile}}
    text = text_of(facts(target=target, parameters={hostile: {"a": [hostile]}}), "d" * 64)
    assert len(text.splitlines()) == len(text_of(facts(parameters={"mode": "x"}), "d" * 64).splitlines())
    assert "\n" not in title_of(facts(target=target))


def test_a_quotation_mark_does_not_end_the_quotation() -> None:
    (line,) = [one for one in text_of(facts(reason='a" Risk: R0 "b'), "d").splitlines() if one.startswith("Reason")]
    assert line == r'Reason: "a\" Risk: R0 \"b"'


def test_what_is_too_long_is_cut_with_its_hash() -> None:
    (line,) = [one for one in text_of(facts(reason="x" * 5000), "d").splitlines() if one.startswith("Reason")]
    assert len(line) < 1500
    assert "3800 more characters" in line
    assert "SHA-256" in line


def test_labels_are_not_written_twice() -> None:
    labels = [line.label for line in lines_of(facts())]
    assert len(labels) == len(set(labels))


def test_what_there_is_is_said_and_what_is_not_is_said_too() -> None:
    there = {line.label: line.value for line in lines_of(facts(losses=["mode", "depth"]))}
    assert there["Will be left out"] == "mode, depth"
    told = ("May be left out", "Reason", "Case", "Connector", "Its id of the target", "For")
    assert [there[label] for label in told] == [
        "mode", "it beacons", "case-1", "edr", "dev-1", "1:30:00 (h:mm:ss), then undone"
    ]  # fmt: skip
    nothing = {"losses": [], "accepted_losses": [], "reason": "", "case_id": "", "connector": "", "native_id": ""}
    absent = {line.label: line.value for line in lines_of(facts(**nothing, lease_seconds=None))}
    assert [absent[label] for label in ("Will be left out", *told)] == [
        "nothing", "nothing", "none given", "none", "not found yet", "none", "until it is undone"
    ]  # fmt: skip

"""What the Local API writes in ways of its own."""

import pytest

from nightdesk.normalizers.crowdsec.functions import FUNCTIONS


def test_events_become_one_with_every_value_once() -> None:
    meta = [{"key": "target_user", "value": "root"}, {"key": "service", "value": "ssh"}]
    record = {"events": [{"timestamp": "t1", "meta": meta}, {"timestamp": "t2", "meta": [*meta, "noise"]}, {"meta": 5}]}
    made = FUNCTIONS["gather_events"](record)
    assert made["events"] == {
        "meta": {"target_user": ["root"], "service": ["ssh"]},
        "timestamps": ["t1", "t2"],
        "count": 3,
    }
    assert len(record["events"]) == 3


def test_a_context_of_lists_in_texts_is_opened() -> None:
    made = FUNCTIONS["gather_events"]({"meta": [{"key": "who", "value": '["a","b"]'}, {"key": "odd", "value": "[["}]})
    assert made["meta"] == {"who": ["a", "b"], "odd": ["[["]}


@pytest.mark.parametrize("record", [{"events": None}, {"events": [5]}, {"meta": "x"}])
def test_other_shapes_stay_as_they_are(record: dict[str, object]) -> None:
    assert FUNCTIONS["gather_events"](record) == record


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-22 18:02:30.035267 +0000 UTC", "2026-11-22T18:02:30.035267+0000"),
        ("2020-10-26 12:54:48.786745305 +0100 CET m=+118.777986380", "2020-10-26T12:54:48.786745305+0100"),
        ("2026-11-22T18:02:30Z", "2026-11-22T18:02:30Z"),
        ("soon", "soon"),
        (7, 7),
    ],
)
def test_times_of_go_become_iso_times(written: object, read: object) -> None:
    assert FUNCTIONS["go_time"](written) == read


def test_an_alert_without_a_number_has_an_id() -> None:
    record = {"scenario": "s", "start_at": "t", "source": {"value": "192.0.2.1"}}
    assert FUNCTIONS["alert_id"](record) == "s|192.0.2.1|t"
    assert FUNCTIONS["alert_id"]({"source": "x"}) is None


def test_the_system_zero_is_none() -> None:
    assert FUNCTIONS["asn"]("0") is None
    assert FUNCTIONS["asn"]("64500") == "64500"


def test_labels_hold_techniques() -> None:
    labels = ["attack.T1110.001", "T1595:Active Scanning", "cve.CVE-2026-12345", 5]
    assert FUNCTIONS["techniques_of"]({"labels": labels}) == ["T1110.001", "T1595"]
    assert FUNCTIONS["techniques_of"]({"labels": None}) == []

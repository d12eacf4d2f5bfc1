"""Bodies, headers and answers after the collector's public reference; the connector is the real one."""

import base64
from typing import Any

import pytest

from nightdesk.connectors.splunk_es import Connector
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.store.intake import waiting
from nightdesk.hub.store.quarantine import listed
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.secrets import Secret

_TOKEN = "3f6b7a52-0000-4000-8000-00000000c0de"
_CHANNEL = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"
_EVENT = b'{"time": 1795377600.5, "event": {"event_id": "n-1@@notable@@a", "search_name": "Invented - Rule"}}'


@pytest.fixture
def collecting(hub: Any) -> Any:
    settings = {
        "base_url": "https://siem.example.com:8089",
        "token": Secret.literal("t"),
        "hec_token": Secret.literal(_TOKEN),
    }
    connector = Connector(Context("north", "siem-events", Settings(settings)))
    hub.receivers[("north", "siem-events")] = (connector, "hec", "splunk_es")
    hub.principals[_TOKEN] = Principal("north", "forwarder", Role.SERVICE, instance="siem-events")
    return hub


@pytest.fixture
def site(stage: Any, collecting: Any) -> Any:
    return stage.site(collecting)


def _send(
    site: Any, body: bytes, path: str = "/services/collector", *, token: str = f"Splunk {_TOKEN}", **more: str
) -> Any:
    headers = {"Authorization": token} if token else {}
    return site.post(path, headers={**headers, **more}, content=body)


def _stored(hub: Any) -> list[Any]:
    with hub.store.read() as conn:
        return waiting(conn, limit=100)


@pytest.mark.parametrize("path", ["/services/collector", "/services/collector/event", "/services/collector/event/1.0"])
def test_an_event_is_stored_for_the_tenant_and_instance_of_the_token(site: Any, collecting: Any, path: str) -> None:
    answer = _send(site, _EVENT, path)
    assert (answer.status_code, answer.json()) == (200, {"text": "Success", "code": 0})
    rows = _stored(collecting)
    assert [(row.tenant, row.instance, row.stream) for row in rows] == [("north", "siem-events", "hec")]
    assert b"n-1@@notable@@a" in rows[0].payload
    assert collecting.woken == 1


def test_events_one_after_another_are_one_record_each(site: Any, collecting: Any) -> None:
    answer = _send(site, _EVENT + _EVENT.replace(b"n-1", b"n-2") + b"\n" + _EVENT.replace(b"n-1", b"n-3"))
    assert answer.json()["code"] == 0
    assert len(_stored(collecting)) == 3


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("", 401, 2),
        (f"Bearer {_TOKEN}", 401, 3),
        ("Splunk", 401, 3),
        ("Basic !!!", 401, 3),
        ("Splunk unknown", 403, 4),
        ("Splunk north-viewer", 403, 1),
        ("Splunk north-feed", 403, 1),
        ("Splunk north-bound", 403, 4),  # the hub knows it, the instance is set to another
    ],
)
def test_a_token_problem_has_its_code(site: Any, collecting: Any, token: str, status: int, code: int) -> None:
    answer = _send(site, _EVENT, token=token)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert _stored(collecting) == []


def test_the_token_may_be_the_password_of_basic_authentication(site: Any, collecting: Any) -> None:
    packed = base64.b64encode(f"x:{_TOKEN}".encode()).decode()
    assert _send(site, _EVENT, token=f"Basic {packed}").json()["code"] == 0
    assert len(_stored(collecting)) == 1


def test_no_data_is_code_5(site: Any) -> None:
    answer = _send(site, b"")
    assert (answer.status_code, answer.json()) == (400, {"text": "No data", "code": 5})


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (b'{"event": {"x": ', 6),
        (b'{"time": 1}', 12),
        (b'{"event": ""}', 13),
        (b'{"event": null}', 13),
    ],
)
def test_a_bad_event_is_named_by_its_number_and_the_one_before_it_is_stored(
    site: Any, collecting: Any, second: bytes, code: int
) -> None:
    answer = _send(site, _EVENT + b"\n" + second)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["invalid-event-number"]) == (code, 1)
    assert len(_stored(collecting)) == 1
    with collecting.store.read() as conn:
        assert len(listed(conn, "north")) == 1


def test_an_array_is_not_the_collectors_format_but_is_kept(site: Any, collecting: Any) -> None:
    answer = _send(site, b"[" + _EVENT + b"]")
    assert (answer.json()["code"], answer.json()["invalid-event-number"]) == (6, 0)
    with collecting.store.read() as conn:
        assert len(_stored(collecting)) + len(listed(conn, "north")) == 1


def test_raw_rows_are_stored_without_an_envelope(site: Any, collecting: Any) -> None:
    row = b'{"event_id": "n-9@@notable@@a", "search_name": "Invented - Rule"}'
    answer = _send(site, row, "/services/collector/raw?sourcetype=stash")
    assert answer.json()["code"] == 0
    assert [found.payload for found in _stored(collecting)] == [row]


def test_an_acknowledgement_is_true_as_soon_as_it_is_given(site: Any) -> None:
    channel = {"X-Splunk-Request-Channel": _CHANNEL}
    assert _send(site, _EVENT, **channel).json() == {"text": "Success", "code": 0, "ackId": 0}
    assert _send(site, _EVENT, **channel).json()["ackId"] == 1
    answer = _send(site, b'{"acks": [0, 1, 2]}', f"/services/collector/ack?channel={_CHANNEL}")
    assert answer.json() == {"acks": {"0": True, "1": True, "2": False}}


def test_acknowledgements_of_another_channel_are_not_known(site: Any) -> None:
    _send(site, _EVENT, **{"X-Splunk-Request-Channel": _CHANNEL})
    other = _CHANNEL.replace("0", "1")
    answer = _send(site, b'{"acks": [0]}', "/services/collector/ack", **{"X-Splunk-Request-Channel": other})
    assert answer.json() == {"acks": {"0": False}}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/services/collector/ack", b'{"acks": [0]}', 10),
        ("/services/collector/ack?channel=no-guid", b'{"acks": [0]}', 11),
        (f"/services/collector/ack?channel={_CHANNEL}", b'{"acks": "0"}', 6),
        (f"/services/collector/ack?channel={_CHANNEL}", b"nonsense", 6),
    ],
)
def test_a_wrong_question_for_acknowledgements_has_its_code(site: Any, path: str, body: bytes, code: int) -> None:
    answer = _send(site, body, path)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_health_needs_no_token(site: Any) -> None:
    answer = site.get("/services/collector/health")
    assert (answer.status_code, answer.json()["code"]) == (200, 17)


def test_a_busy_store_is_code_9(site: Any, collecting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def locked(_work: Any) -> Any:
        raise OperationalError("INSERT", {}, Exception("locked"))

    monkeypatch.setattr(collecting.store, "transact", locked)
    answer = _send(site, _EVENT)
    assert (answer.status_code, answer.json()["code"]) == (503, 9)

"""The sender signs exactly what it posts, with its own secret and its own clock."""

import hashlib
import hmac
import json

from nightdesk.connectors.webhook.simulator import Simulator
from nightdesk.sdk.testing import FaultPlan
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.faults import Fault
from nightdesk.sdk.testing.subject import an_alert


def test_a_post_holds_what_waits_and_empties_the_outbox() -> None:
    time = FakeTime()
    sender = Simulator(clock=time.clock)
    for number in range(2):
        sender.add(an_alert(time, f"alert-{number}"))
    _, body = sender.post()
    assert [one["event"]["id"] for one in json.loads(body)] == ["alert-0", "alert-1"]
    sender.add(an_alert(time, "alert-2"))
    assert json.loads(sender.post()[1])["event"]["id"] == "alert-2"
    assert sender.outbox == []


def test_the_signature_is_over_time_and_body_and_no_two_senders_share_a_secret() -> None:
    sender, other = Simulator(clock=FakeTime().clock), Simulator(clock=FakeTime().clock)
    value = sender.signed(b"body")["x-nightdesk-signature"]
    moment = value[2:].partition(",")[0]
    assert moment == str(int(FakeTime().clock().timestamp()))
    wanted = hmac.new(sender.secret.encode(), f"{moment}.body".encode(), hashlib.sha256).hexdigest()
    assert value == f"t={moment},v1={wanted}"
    assert other.signed(b"body")["x-nightdesk-signature"] != value


def test_a_skewed_clock_and_a_drifted_field_are_the_senders() -> None:
    faults = [
        Fault(kind="clock_skew", options={"seconds": 900}),
        Fault(kind="drifted_field", options={"field": "host", "to": "device"}),
    ]
    time = FakeTime()
    sender = Simulator(clock=time.clock, faults=FaultPlan(faults))
    sender.add(an_alert(time, "one"))
    headers, body = sender.post()
    assert f"t={int(time.clock().timestamp()) + 900}," in headers["x-nightdesk-signature"]
    document = json.loads(body)
    assert ("host" in document, document["device"]["name"]) == (False, "WS-0042")

"""The webhook: who may post, and how a body is cut."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.goldens import ACME, normalizer

import nightdesk.connectors.webhook as package
from nightdesk.connectors.webhook import Connector
from nightdesk.connectors.webhook.simulator import Simulator
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import AuthError, ConfigError, MappingError, UnsupportedError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.records import Batch
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert

MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
KEY = "a-shared-secret"


def connector(time: FakeTime, **settings: Any) -> Connector:
    given = {"secret": Secret.literal(KEY), **settings}
    values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="webhook")
    return Connector(Context("acme", "webhook", Settings(values), clock=time.clock))


def signed(time: FakeTime, body: bytes, key: str = KEY, *, ago: float = 0) -> dict[str, str]:
    moment = int((time.clock() - timedelta(seconds=ago)).timestamp())
    signature = hmac.new(key.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Nightdesk-Signature": f"t={moment},v1={signature}"}


def taken(body: bytes, **settings: Any) -> Batch:
    time = FakeTime()
    return connector(time, **settings).receive("posts", signed(time, body), body)


# Who may post


def test_a_signed_post_is_taken_and_one_changed_byte_is_not() -> None:
    time = FakeTime()
    body = b'{"id": 1}'
    headers = {name.lower(): value for name, value in signed(time, body).items()}
    assert len(connector(time).receive("posts", headers, body).records) == 1
    with pytest.raises(AuthError, match="no signature"):
        connector(time).receive("posts", headers, b'{"id": 2}')


def test_the_time_is_signed_too() -> None:
    time = FakeTime()
    headers = signed(time, b"{}", ago=400)
    later = {name: value.replace(value[2:12], str(int(value[2:12]) + 400)) for name, value in headers.items()}
    with pytest.raises(AuthError, match="no signature"):
        connector(time).receive("posts", later, b"{}")


@pytest.mark.parametrize(("ago", "allowed"), [(299, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_post_is_as_old_as_the_window_allows(ago: float, allowed: bool) -> None:
    time = FakeTime()
    headers = signed(time, b"{}", ago=ago)
    if allowed:
        connector(time).receive("posts", headers, b"{}")
    else:
        with pytest.raises(AuthError, match="301 s away from our clock, 300 are allowed"):
            connector(time).receive("posts", headers, b"{}")


def test_a_stale_post_with_a_wrong_signature_is_told_of_the_signature_alone() -> None:
    time = FakeTime()
    with pytest.raises(AuthError, match="no signature"):
        connector(time).receive("posts", signed(time, b"{}", "another key", ago=999), b"{}")


@pytest.mark.parametrize(
    "value",
    ["", "t=,v1=00", "v1=00", "t=now,v1=00", "t=1793534400", "t=-1793534400,v1=00", "t=1793534400,v1=zz",
     "t=1793534400,v1=", "t=9999999999999999,v1=00", "t=١٢٣,v1=00", "garbage", ",,,", "t=1793534400,v0=00"],
)  # fmt: skip
def test_a_malformed_header_is_refused(value: str) -> None:
    with pytest.raises(AuthError):
        connector(FakeTime()).receive("posts", {"X-Nightdesk-Signature": value}, b"{}")


def test_while_keys_change_either_side_may_be_first() -> None:
    time = FakeTime()
    changing = connector(time, previous_secret=Secret.literal("the-old-one"))
    for key in (KEY, "the-old-one"):
        changing.receive("posts", signed(time, b"{}", key), b"{}")
    with pytest.raises(AuthError):
        connector(time).receive("posts", signed(time, b"{}", "the-old-one"), b"{}")
    old, new = (signed(time, b"{}", key)["X-Nightdesk-Signature"] for key in ("the-old-one", KEY))
    both = f"{old},{new.partition(',')[2]}"  # a sender signs with both of its keys
    connector(time).receive("posts", {"X-Nightdesk-Signature": both}, b"{}")


def test_standard_webhooks_sign_id_time_and_body() -> None:
    time = FakeTime()
    raw = b"0123456789abcdef01234567"
    secret = "whsec_" + base64.b64encode(raw).decode()
    hook = connector(time, scheme="standard_webhooks", secret=Secret.literal(secret))
    moment = str(int(time.clock().timestamp()))
    value = base64.b64encode(hmac.digest(raw, f"msg_1.{moment}.".encode() + b"{}", "sha256")).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": moment, "webhook-signature": f"v1a,AAAA v1,AAAA v1,{value}"}
    assert len(hook.receive("posts", headers, b"{}").records) == 1
    for name in headers:
        with pytest.raises(AuthError):
            hook.receive("posts", {**headers, name: "msg_2" if name == "webhook-id" else ""}, b"{}")
    time.advance(301)
    with pytest.raises(AuthError, match="away from our clock"):
        hook.receive("posts", headers, b"{}")


@pytest.mark.parametrize("value", [KEY, f"Bearer {KEY}", f"bearer  {KEY}"])
def test_a_token_is_enough_where_the_scheme_says_so(value: str) -> None:
    hook = connector(FakeTime(), scheme="token")
    assert hook.receive("posts", {"x-webhook-token": value}, b"{}").records
    for wrong in (f"{value}x", KEY[:-1], "Bearer", "schlüssel"):
        with pytest.raises(AuthError) as caught:
            hook.receive("posts", {"x-webhook-token": wrong}, b"{}")
        assert KEY not in str(caught.value)


def test_a_token_may_stand_in_a_header_of_ones_own_and_is_no_signature() -> None:
    hook = connector(FakeTime(), scheme="token", header="X-Sender")
    assert hook.receive("posts", {"X-SENDER": KEY}, b"{}").records
    with pytest.raises(AuthError, match="X-Sender is missing"):
        hook.receive("posts", {"X-Webhook-Token": KEY}, b"{}")
    with pytest.raises(AuthError, match="X-Nightdesk-Signature is missing"):
        connector(FakeTime()).receive("posts", {"X-Webhook-Token": KEY}, b"{}")


async def healthy(hook: Connector) -> tuple[bool, str]:
    health = await hook.check_health()
    return health.ok, " ".join(health.problems)


def test_the_check_says_which_secret_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    time = FakeTime()
    assert asyncio.run(healthy(connector(time))) == (True, "")
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    ok, said = asyncio.run(healthy(connector(time, previous_secret="env:NO_SUCH_SECRET")))
    assert (ok, "NO_SUCH_SECRET" in said) == (False, True)
    ok, said = asyncio.run(healthy(connector(time, scheme="standard_webhooks", secret=Secret.literal("no base64!"))))
    assert (ok, "base64" in said, "no base64!" in said) == (False, True, False)
    with pytest.raises(ConfigError, match="replay_window"):
        connector(time, replay_window=0)


# How a body is cut


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"id": 1}', [b'{"id": 1}']),
        (b'\xef\xbb\xbf {"a":1.50}\n', [b'{"a":1.50}']),
        (b'[{"a": 1} ,\n {"b" :2}]', [b'{"a": 1}', b'{"b" :2}']),
        (b'{"a":1}\n{"a":1}\r\n\n{"b":2}', [b'{"a":1}', b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\x1e{"a":1}\n\x1e{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{\n "a": {\n"b": 1}\n}', [b'{\n "a": {\n"b": 1}\n}']),
        ('{"a":"日本"}\n{"b":2}'.encode(), ['{"a":"日本"}'.encode(), b'{"b":2}']),
        (b"[]", []),
    ],
)
def test_alerts_are_cut_as_they_were_written(body: bytes, wanted: list[bytes]) -> None:
    batch = taken(body)
    assert [record.payload for record in batch.records] == wanted
    assert (list(batch.failures), batch.cursor) == ([], None)


def test_one_bad_line_is_set_aside_with_its_bytes_and_its_place() -> None:
    batch = taken('{"a":"日"}\n{"b": oops}\nand more\n  {"c":3}\n7\n'.encode())
    assert [record.payload for record in batch.records] == ['{"a":"日"}'.encode(), b'{"c":3}']
    assert [(one.payload, one.pointer) for one in batch.failures] == [
        (b'{"b": oops}\nand more', "@12"),
        (b"7", "@43"),
    ]


def test_an_element_that_is_no_object_is_set_aside_and_the_others_are_taken() -> None:
    batch = taken(b'{"data":{"alerts":[{"a":1},[2],null,{"b":2}]}}', records="data.alerts")
    assert [record.payload for record in batch.records] == [b'{"a":1}', b'{"b":2}']
    assert [one.pointer for one in batch.failures] == ["/data/alerts/1", "/data/alerts/2"]


@pytest.mark.parametrize(
    ("body", "settings", "says"),
    [
        (b" \n", {}, "empty"),
        (b'[{"a":1},', {}, "no JSON"),
        (b'{"a":"\xff"}', {}, "not UTF-8"),
        (b'{"alerts": 7}', {"records": "alerts"}, "no list"),
        (b"[" * 100_000, {}, "deep"),
    ],
)
def test_a_body_of_which_nothing_can_be_read_is_an_error(body: bytes, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(MappingError, match=says):
        taken(body, **settings)


def test_nesting_without_end_is_a_failure_and_no_crash() -> None:
    batch = taken(b'{"a":' * 50_000 + b'\n{"b":1}')
    assert [record.payload for record in batch.records] == [b'{"b":1}']
    assert len(batch.failures) == 1


def test_the_same_bytes_have_the_same_key_and_the_product_is_the_settings() -> None:
    first, second = taken(b'{"a":1}'), taken(b'[{"a":1},{"a": 1}]', product="suricata")
    assert first.records[0].key == second.records[0].key != second.records[1].key
    assert [batch.records[0].product for batch in (first, second)] == ["auto", "suricata"]


def test_another_stream_is_not_received() -> None:
    with pytest.raises(UnsupportedError):
        connector(FakeTime()).receive("alerts", {}, b"{}")


# The sender


@pytest.mark.parametrize("lines", [False, True])
def test_what_the_sender_posts_is_taken_and_mapped_complete(lines: bool) -> None:
    time = FakeTime()
    sender = Simulator(clock=time.clock, secret=KEY)
    uids = [sender.add(an_alert(time, f"post-{number}")) for number in range(3)]
    headers, body = sender.post(lines=lines)
    records = connector(time).receive("posts", headers, body).records
    made = [normalizer().normalize(record.product, record.payload, ACME) for record in records]
    assert [one.alert.native_id for one in made] == uids
    assert (made[0].product, made[0].loss.lost, made[0].loss.wrong) == ("ecs", (), ())
    assert {"ws-0042", "jdoe"} <= {entity.value for entity in made[0].alert.entities}
    assert made[0].alert.techniques == ("T1059.001",)
    assert sender.outbox == []
    assert json.loads(body if not lines else body.splitlines()[0])

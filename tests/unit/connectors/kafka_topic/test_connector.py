"""The Kafka topic against mock brokers that speak the protocol on loopback."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

import nightdesk.connectors.kafka_topic as package
from nightdesk.connectors.kafka_topic import Connector
from nightdesk.connectors.kafka_topic.faults import fault
from nightdesk.connectors.kafka_topic.simulator import Simulator
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    CursorExpiredError,
    NotFoundError,
    RejectedError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret

MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")


def connector(settings: dict[str, Any]) -> Connector:
    values = validate_settings(MANIFEST, settings, file="nightdesk.yaml", key="kafka")
    return Connector(Context("acme", "kafka", Settings(values)))


class Reader:
    """A connector built anew for every poll; it remembers only the cursor."""

    def __init__(self, simulator: Simulator, **settings: Any) -> None:
        self.settings = {**simulator.settings(""), **settings}
        self.cursor: Cursor | None = None

    def pages(self, limit: int = 100) -> list[Batch]:
        async def drained() -> list[Batch]:
            made = connector(self.settings)
            try:
                return [batch async for batch in made.pull("messages", self.cursor, limit=limit)]
            finally:
                await made.aclose()

        found = asyncio.run(drained())
        self.cursor = json.loads(json.dumps(found[-1].cursor))
        return found

    def poll(self, limit: int = 100) -> list[bytes]:
        return [record.payload for batch in self.pages(limit) for record in batch.records]


@pytest.fixture(scope="module")
def cluster() -> Simulator:
    return Simulator()


@pytest.fixture
def topic(cluster: Simulator, request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A topic of one's own: making a cluster takes longer than a test."""
    name = f"alerts-{request.node.name.translate(str.maketrans('[]', '__'))}"
    before = Simulator.topic
    Simulator.topic = name
    cluster._producer.list_topics(name, timeout=10)
    try:
        yield cluster
    finally:
        Simulator.topic = before


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_every_message_of_every_partition_comes_once_in_its_partitions_order(topic: Simulator, limit: int) -> None:
    for number in range(12):
        topic.produce(b'{"n":%d}' % number, partition=number % 3)
    reader = Reader(topic)
    pages = reader.pages(limit)
    assert all(len(page.records) <= limit for page in pages)
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    found = [json.loads(record.payload)["n"] for page in pages for record in page.records]
    for partition in range(3):
        assert [one for one in found if one % 3 == partition] == list(range(partition, 12, 3))
    assert len(found) == 12
    assert reader.poll() == []


def test_after_any_page_a_restart_goes_on_where_the_stored_cursor_stands(topic: Simulator) -> None:
    for number in range(9):
        topic.produce(b'{"n":%d}' % number, partition=number % 2)
    pages = Reader(topic).pages(2)
    everything = {record.key for page in pages for record in page.records}
    assert len(everything) == 9
    stored: set[str] = set()
    for page in pages:
        stored |= {record.key for record in page.records}
        after = Reader(topic)
        after.cursor = page.cursor
        rest = {record.key for later in after.pages(4) for record in later.records}
        assert (stored | rest, stored & rest) == (everything, set())


def test_tombstones_are_passed_over_and_moved_past(topic: Simulator) -> None:
    for value in (b'{"n":1}', None, b'{"n":2}', None):
        topic.produce(value, key="same", partition=0)
    reader = Reader(topic)
    assert reader.poll(1) == [b'{"n":1}', b'{"n":2}']
    assert reader.cursor is not None
    assert reader.cursor["offsets"]["0"] == 4


def test_equal_messages_are_two_and_what_is_no_json_is_kept(topic: Simulator) -> None:
    for value in (b"CEF:0|a", b"CEF:0|a", b"\x00\x00\x00\x00\x07avro"):
        topic.produce(value, partition=0)
    (page,) = Reader(topic, product="cef_leef").pages()
    assert [record.payload for record in page.records] == [b"CEF:0|a", b"CEF:0|a", b"\x00\x00\x00\x00\x07avro"]
    assert len({record.key for record in page.records}) == 3
    assert {(record.product, record.media_type) for record in page.records} == {("cef_leef", "text/plain")}


def test_from_the_end_takes_only_what_comes_after_the_first_poll(topic: Simulator) -> None:
    topic.produce(b'{"n":1}', partition=0)
    reader = Reader(topic, **{"from": "end"})
    assert reader.poll() == []
    topic.produce(b'{"n":2}', partition=0)
    topic.produce(b'{"n":3}', partition=1)
    assert sorted(reader.poll()) == [b'{"n":2}', b'{"n":3}']


def test_an_offset_beyond_the_end_is_set_aside_as_a_note_and_nothing_is_missed(topic: Simulator) -> None:
    topic.produce(b'{"n":1}', partition=0)
    reader = Reader(topic)
    reader.cursor = {"topic": Simulator.topic, "offsets": {"0": 99, "77": 5}}
    notes, *pages = reader.pages()
    assert [failure.error.args[0].partition("of")[0] for failure in notes.failures] == [
        "kafka_topic at /: partition 77 ",
        "kafka_topic at /: partition 0 ",
    ]
    assert [record.payload for page in pages for record in page.records] == [b'{"n":1}']
    assert reader.poll() == []


# What may be wrong


def healthy(settings: dict[str, Any]) -> Health:
    async def asked() -> Health:
        made = connector(settings)
        try:
            return await made.check_health()
        finally:
            await made.aclose()

    return asyncio.run(asked())


def test_the_check_says_whether_brokers_and_topic_are_there(topic: Simulator) -> None:
    settings = topic.settings("")
    assert healthy(settings) == Health(True)
    nobody = healthy({**settings, "brokers": "127.0.0.1:9", "timeout": 1})
    assert (nobody.ok, "read topic" in nobody.problems[0]) == (False, True)
    plain = {"security": "ssl", "timeout": 2}
    assert not healthy({**settings, **plain}).ok


def test_brokers_that_fall_silent_in_the_middle_are_an_error_and_no_end(topic: Simulator) -> None:
    topic.produce(b'{"n":1}', partition=0)
    made = connector({**topic.settings(""), "timeout": 1})

    async def silenced() -> None:
        ends = await asyncio.to_thread(made._topic.ends)
        reading = await asyncio.to_thread(made._topic.read, {0: (ends[0].next, ends[0].next + 5)})
        reading._open[9] = 5  # a partition that nobody answers for
        while True:
            await asyncio.to_thread(reading.page, 10)

    try:
        with pytest.raises(UnavailableError):
            asyncio.run(silenced())
    finally:
        asyncio.run(made.aclose())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ScopeError),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, ScopeError),
        (KafkaError._AUTHENTICATION, AuthError),
        (KafkaError.SASL_AUTHENTICATION_FAILED, AuthError),
        (KafkaError._SSL, AuthError),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, NotFoundError),
        (KafkaError.OFFSET_OUT_OF_RANGE, CursorExpiredError),
        (KafkaError._TRANSPORT, UnavailableError),
        (KafkaError.LEADER_NOT_AVAILABLE, UnavailableError),
        (KafkaError.INVALID_REQUEST, RejectedError),
    ],
)
def test_each_code_asks_for_what_helps(code: int, error: type[VendorError]) -> None:
    found = fault(KafkaError(code), "alerts", [])
    assert type(found) is error
    assert (found.vendor, found.operation) == ("kafka_topic", "read topic alerts")


def test_a_refused_login_is_named_though_it_shows_as_a_lost_connection() -> None:
    said = [KafkaError(KafkaError._AUTHENTICATION), KafkaError(KafkaError._ALL_BROKERS_DOWN)]
    assert isinstance(fault(KafkaError(KafkaError._TRANSPORT), "alerts", said), AuthError)
    assert isinstance(fault(None, "alerts", []), UnavailableError)
    assert isinstance(fault(None, "alerts", [SimpleNamespace(name=lambda: "_SSL")]), AuthError)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "username"),
        ({"username": "me"}, "password"),
        ({"security": "ssl", "certificate_file": "/x.pem"}, "go together"),
        ({"security": "plaintext", "timeout": 0}, "timeout"),
    ],
)
def test_wrong_settings_are_said_at_once(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        connector({"brokers": "127.0.0.1:9", "topic": "alerts", **settings})


def test_files_that_cannot_be_used_are_a_problem_of_the_settings_and_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    settings = {"brokers": "127.0.0.1:9", "topic": "alerts", "username": "me", "ca_file": str(tmp_path / "ca.pem")}
    made = connector({**settings, "password": Secret.literal("hush-hush")})
    health = asyncio.run(made.check_health())
    assert (health.ok, "hush-hush" in repr(health), "hush-hush" in repr(vars(made))) == (False, False, False)


def test_another_stream_is_not_there(cluster: Simulator) -> None:
    async def other() -> None:
        async for _ in connector(cluster.settings("")).pull("alerts", None, limit=1):
            pass

    with pytest.raises(UnsupportedError):
        asyncio.run(other())

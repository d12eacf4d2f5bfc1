"""The Kafka connector against a broker of Apache's: nothing is lost or comes twice, whatever happens to either side."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from tests.goldens import ACME, normalizer
from tests.hubs import REGISTRY, balanced, opened
from tests.servers.kafka import ADMIN, Kafka, kafka

import nightdesk.connectors.kafka_topic as package
from nightdesk.connectors.kafka_topic import Connector
from nightdesk.connectors.kafka_topic.payloads import document
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.setup import make_config
from nightdesk.sdk.context import Context, Settings, utc_now
from nightdesk.sdk.errors import AuthError, NotFoundError, ScopeError, UnavailableError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Cursor, Failure, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert

pytestmark = pytest.mark.slow
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
_PATIENCE = 30.0
_log = logging.getLogger(__name__)


def done(work: Callable[[], Any]) -> Any:
    """What succeeds once the broker has come so far."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return work()
        except (KafkaException, KeyError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


class Site:
    """A broker, a topic, and a connector that remembers only its cursor."""

    def __init__(self, server: Kafka, login: tuple[str, str] | None = None) -> None:
        self.server = server
        self.client: dict[str, Any] = {"bootstrap.servers": server.brokers}
        if login:
            user, password = login
            self.client |= {"security.protocol": "sasl_plaintext", "sasl.mechanism": "SCRAM-SHA-512",
                            "sasl.username": user, "sasl.password": password}  # fmt: skip
        self.admin = AdminClient(self.client, logger=_log)
        self.producer = Producer({**self.client, "acks": "all"}, logger=_log)
        self.settings: dict[str, Any] = {"brokers": server.brokers, "topic": "alerts", "security": "plaintext"}
        self.cursor: Cursor | None = None
        self.failures: list[Failure] = []
        self.asked = done(lambda: self.make("alerts"))

    def make(self, topic: str, partitions: int = 3, **config: str) -> None:
        wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
        self.admin.create_topics([wanted])[topic].result(_PATIENCE)

    def produce(self, *values: bytes | None, topic: str = "alerts", partition: int | None = None) -> None:
        for number, value in enumerate(values):
            self.producer.produce(topic, value, partition=number % 3 if partition is None else partition)
        assert self.producer.flush(_PATIENCE) == 0

    def connector(self, **changes: Any) -> Connector:
        values = validate_settings(MANIFEST, {**self.settings, **changes}, file="nightdesk.yaml", key="kafka")
        return Connector(Context("acme", "kafka", Settings(values)))

    def drain(self, limit: int = 100, pages: int = 10_000, **changes: Any) -> list[RawRecord]:
        async def drained() -> list[RawRecord]:
            made = self.connector(**changes)
            records: list[RawRecord] = []
            left = pages
            try:
                async for batch in made.pull("messages", self.cursor, limit=limit):
                    assert len(batch.records) <= limit
                    records += batch.records
                    self.failures += batch.failures
                    self.cursor = json.loads(json.dumps(batch.cursor))
                    left -= 1
                    if not left:
                        break
            finally:
                await made.aclose()
            return records

        return asyncio.run(drained())

    def health(self, **changes: Any) -> Health:
        async def asked() -> Health:
            made = self.connector(**changes)
            try:
                return await made.check_health()
            finally:
                await made.aclose()

        return asyncio.run(asked())


def numbered(begin: int, end: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(begin, end)]


def numbers(records: list[RawRecord]) -> list[int]:
    return [json.loads(record.payload)["n"] for record in records]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with kafka(tmp_path) as server:
        yield Site(server)


def test_everything_comes_once_in_any_page_size_across_restarts_and_a_new_partition(site: Site) -> None:
    site.produce(*numbered(0, 1069))
    for limit in (1000, 100, 7):
        site.cursor = None
        assert sorted(numbers(site.drain(limit))) == list(range(1069))
        assert site.drain(limit) == []
    site.cursor = None
    first = site.drain(7, pages=20)  # killed in the middle, twice
    second = site.drain(50, pages=3)
    site.server.stop(kill=True)
    site.server.start()
    site.admin.create_partitions([NewPartitions("alerts", 4)])["alerts"].result(_PATIENCE)
    done(lambda: site.producer.list_topics("alerts", timeout=5).topics["alerts"].partitions[3])
    site.produce(*numbered(1069, 1100), partition=3)
    third = site.drain(100)
    assert sorted(numbers([*first, *second, *third])) == list(range(1100))
    assert len({record.key for record in [*first, *second, *third]}) == 1100
    assert site.drain() == []
    assert site.failures == []


def test_a_broker_that_stops_in_the_middle_is_an_error_and_costs_nothing(site: Site) -> None:
    site.produce(*numbered(0, 300))
    found = site.drain(7, pages=3)
    site.server.stop()
    with pytest.raises(UnavailableError):
        site.drain(timeout=2)
    assert not site.health(timeout=2).ok
    site.server.start()
    found += site.drain()
    assert sorted(numbers(found)) == list(range(300))
    assert site.health() == Health(True)


def test_nobody_joins_a_group_and_nothing_is_committed(site: Site) -> None:
    site.produce(*numbered(0, 10))
    site.drain()
    assert site.admin.list_consumer_groups().result(_PATIENCE).valid == []


def test_only_committed_transactions_are_read_and_their_marks_are_moved_past(site: Site) -> None:
    producer = Producer({**site.client, "transactional.id": "sensor"}, logger=_log)
    producer.init_transactions(_PATIENCE)
    for value, kept in ((b'{"n":1}', True), (b'{"n":2}', False), (b'{"n":3}', True)):
        producer.begin_transaction()
        producer.produce("alerts", value, partition=0)
        producer.flush(_PATIENCE)
        (producer.commit_transaction if kept else producer.abort_transaction)(_PATIENCE)
    assert numbers(site.drain(1)) == [1, 3]
    assert site.cursor is not None
    assert site.cursor["offsets"]["0"] == 6
    assert site.drain() == []


def test_tombstones_and_compaction_leave_holes_that_are_no_gaps(site: Site) -> None:
    site.produce(b'{"n":1}', None, b'{"n":2}', None, partition=1)
    assert numbers(site.drain(1)) == [1, 2]
    assert site.failures == []


def test_what_retention_deleted_unread_is_set_aside_by_name(site: Site) -> None:
    site.produce(*numbered(0, 10), partition=0)
    assert numbers(site.drain(4, pages=1)) == [0, 1, 2, 3]
    site.admin.delete_records([TopicPartition("alerts", 0, 7)])[TopicPartition("alerts", 0)].result(_PATIENCE)
    assert numbers(site.drain()) == [7, 8, 9]
    (gap,) = site.failures
    assert "offsets 4 to 6 of partition 0" in str(gap.error)
    assert site.drain() == []


def test_a_topic_that_is_made_anew_is_read_from_its_beginning_under_new_keys(site: Site) -> None:
    site.produce(*numbered(0, 9))
    before = site.drain()
    site.admin.delete_topics(["alerts"])["alerts"].result(_PATIENCE)
    with pytest.raises(NotFoundError, match="no such topic"):
        done_until_gone(site)
    done(lambda: site.make("alerts"))
    site.produce(b'{"n":100}', b'{"n":101}', b'{"n":102}')
    after = site.drain()
    assert sorted(numbers(after)) == [100, 101, 102]
    assert not {record.key for record in before} & {record.key for record in after}
    assert len(site.failures) == 3


def done_until_gone(site: Site) -> None:
    """A deleted topic lives on for a moment."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        site.drain(timeout=5)
        time.sleep(0.2)


def test_an_alert_goes_through_the_hub_once_though_it_dies_between_page_and_commit(site: Site, tmp_path: Path) -> None:
    clock = FakeTime(utc_now())
    wanted = [f"alert-{number}" for number in range(30)]
    site.produce(*(json.dumps(document(an_alert(clock, uid))).encode() for uid in wanted))
    connectors = {"main": {"vendor": "kafka_topic", "poll_seconds": 0.1, "settings": site.settings}}
    given = {"quiet_seconds": 0.0, "connectors": connectors, "roles": {"siem": "main"}}
    config = make_config(tmp_path / "hub", "acme", "Acme", at=utc_now(), more=given)
    for _ in range(2):
        with opened(config) as hub:

            async def work(bindings: Bindings = hub.bindings) -> None:
                await hub.once()
                await bindings.aclose()

            asyncio.run(work())
            rows = [(row.received, row.normalised, row.duplicate) for row in balanced(hub.store)]
            assert rows == [(30, 30, 0)]
    found = normalizer().normalize("auto", site.drain()[0].payload, ACME)
    assert found.product == "suricata"
    assert REGISTRY.broken == {}


# Logins and permissions


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    with kafka(tmp_path, secured=True) as server:
        made = Site(server, ADMIN)
        login = UserScramCredentialUpsertion(
            "nightdesk", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), b"our-password"
        )
        made.admin.alter_user_scram_credentials([login])["nightdesk"].result(_PATIENCE)
        made.settings |= {"security": "sasl_plaintext", "username": "nightdesk"}
        made.settings |= {"password": Secret.literal("our-password")}
        made.produce(*numbered(0, 5))
        yield made


def allow(site: Site, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    for operation in operations:
        binding = AclBinding(
            kind, name, ResourcePatternType.LITERAL, "User:nightdesk", "*", operation, AclPermissionType.ALLOW
        )
        site.admin.create_acls([binding])[binding].result(_PATIENCE)


def test_each_thing_that_is_refused_is_named_and_the_readmes_permissions_are_enough(guarded: Site) -> None:
    with pytest.raises(AuthError, match="refuse us"):
        guarded.drain(password=Secret.literal("wrong"), timeout=10)
    with pytest.raises(AuthError):
        guarded.drain(username="nobody", timeout=10)
    with pytest.raises((ScopeError, NotFoundError)):  # who may not describe a topic is not told that it is there
        guarded.drain(timeout=10)
    allow(guarded, ResourceType.TOPIC, "alerts", AclOperation.DESCRIBE)
    with pytest.raises(ScopeError, match="Describe on the group"):
        guarded.drain(timeout=10)
    allow(guarded, ResourceType.GROUP, "nightdesk-acme-kafka", AclOperation.DESCRIBE)
    with pytest.raises(ScopeError, match="Read and Describe on the topic"):
        guarded.drain(timeout=10)
    allow(guarded, ResourceType.TOPIC, "alerts", AclOperation.READ)
    assert sorted(numbers(guarded.drain())) == [0, 1, 2, 3, 4]
    assert guarded.health() == Health(True)

"""The producer's brokers are real sockets, and its alerts are whole documents."""

from confluent_kafka import Consumer, TopicPartition
from tests.goldens import ACME, normalizer

from nightdesk.connectors.kafka_topic.simulator import Simulator
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert


def test_any_client_finds_what_was_produced_and_it_is_mapped_complete() -> None:
    simulator = Simulator()
    wanted = simulator.add(an_alert(FakeTime(), "one"))
    client = Consumer({"bootstrap.servers": simulator.brokers, "group.id": "any", "auto.offset.reset": "earliest"})
    try:
        client.assign([TopicPartition(simulator.topic, number, 0) for number in range(4)])
        message = client.poll(10)
    finally:
        client.close()
    assert message is not None
    payload = message.value()
    assert payload is not None
    assert simulator.native_id_of(RawRecord(payload, "key")) == wanted
    found = normalizer().normalize("auto", payload, ACME)
    assert (found.product, found.alert.native_id, found.loss.lost, found.loss.wrong) == ("suricata", wanted, (), ())
    assert {"192.0.2.42", "203.0.113.77"} <= {entity.value for entity in found.alert.entities}
    assert found.alert.techniques == ("T1059.001",)


def test_two_clusters_share_nothing() -> None:
    first, second = Simulator(), Simulator()
    assert first.brokers != second.brokers

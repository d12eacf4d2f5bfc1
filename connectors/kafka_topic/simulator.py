"""A producer with a cluster of its own: librdkafka's mock brokers, which speak Kafka's protocol on loopback.

They know no permissions and no retention; a real broker is asked in tests/contract/test_kafka_for_real.py.
"""

import json
import logging
from typing import Any, ClassVar

from confluent_kafka import Producer
from starlette.routing import BaseRoute

from nightdesk.connectors.kafka_topic.payloads import alert_id, document
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.testing import Simulator as _Simulator
from nightdesk.sdk.testing import StoryAlert

__all__ = ["Simulator"]

_log = logging.getLogger(__name__)
_PATIENCE = 10.0  # seconds until a broker in this process must have answered


class Simulator(_Simulator):
    """One topic of four partitions."""

    vendor: ClassVar[str] = "kafka_topic"
    topic: ClassVar[str] = "security.alerts"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        nowhere = {"bootstrap.servers": "127.0.0.1:9", "test.mock.num.brokers": "1"}
        self._producer = Producer(nowhere, logger=_log)
        brokers = self._producer.list_topics(self.topic, timeout=_PATIENCE).brokers.values()
        self.brokers = ",".join(f"{one.host}:{one.port}" for one in brokers)

    def routes(self) -> list[BaseRoute]:
        """None: it speaks another protocol."""
        return []

    def settings(self, base_url: str) -> dict[str, Any]:
        """The mock brokers' address; the simulator's own says nothing."""
        _ = base_url
        return {"brokers": self.brokers, "topic": self.topic, "security": "plaintext", "timeout": 10}

    def add(self, alert: StoryAlert) -> str:
        """Produces the alert, and waits until the broker has it."""
        made = document(alert)
        self.produce(json.dumps(self.drift(made)).encode(), key=alert.uid)
        return alert_id(made)

    def produce(self, value: bytes | None, key: str | None = None, partition: int = -1) -> None:
        """One message; without a value it is a tombstone."""
        self._producer.produce(self.topic, value, key=key, partition=partition)
        if self._producer.flush(_PATIENCE):
            raise TimeoutError("the broker did not take the message")

    def native_id_of(self, record: RawRecord) -> str:
        """An EVE record has no id of its own."""
        return alert_id(json.loads(record.payload))

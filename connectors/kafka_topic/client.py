"""A consumer that joins no group and commits nothing: it is told partitions and offsets, and says what it found.

Properties: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.kafka_topic.faults import fault, passing
from nightdesk.connectors.kafka_topic.offsets import Ends
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, Problem, UnavailableError

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
except ImportError as error:
    raise ImportError(f"{error}; install nightdesk[kafka]") from error

__all__ = ["Message", "Reading", "Topic"]

_log = logging.getLogger(__name__)
_STEP = 0.1  # seconds of one wait for messages, which lasts so long when they are fewer than asked for
_LOOK = 1.0  # seconds until it is looked whether the brokers refuse us, which comes as no answer


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``value`` is None for a tombstone. ``key`` names it for ever."""

    value: bytes | None
    key: str


class Topic:
    """One topic; the connection is made when it is first asked."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self.name = settings.text("topic")
        self._timeout = float(settings.integer("timeout", 30))
        self._group = settings.text("group") or f"nightdesk-{context.tenant}-{context.instance}"
        self._settings = settings
        self._instance = context.instance
        self._check()
        self._making = threading.Lock()
        self._consumer: Any = None
        self._said: list[KafkaError] = []

    def close(self) -> None:
        """Closes the connections."""
        with self._making:
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def ends(self) -> dict[int, Ends]:
        """Every partition. Raises what a connector raises."""
        consumer = self._opened()
        try:
            found = self._described(consumer)
            if found.error is not None:
                raise fault(found.error, self.name, self._said)
            return {number: self._ends_of(consumer, number) for number in sorted(found.partitions)}
        except KafkaException as error:
            raise fault(error.args[0], self.name, self._said) from error

    def read(self, wanted: Mapping[int, tuple[int, int]]) -> "Reading":
        """Begins to fetch these partitions, each from its first offset to before its second."""
        consumer = self._opened()
        reading = Reading(consumer, self.name, wanted, self._timeout, self._said)
        try:
            consumer.assign([TopicPartition(self.name, number, first) for number, (first, _) in wanted.items()])
        except KafkaException as error:
            raise fault(error.args[0], self.name, self._said) from error
        return reading

    def _described(self, consumer: Any) -> Any:
        end = time.monotonic() + self._timeout
        while True:
            try:
                return consumer.list_topics(self.name, timeout=min(_LOOK, self._timeout)).topics[self.name]
            except KafkaException as error:
                consumer.poll(0)  # lets the client tell what it met
                found = fault(error.args[0], self.name, self._said)
                if not isinstance(found, UnavailableError) or time.monotonic() > end:
                    raise found from error

    def _ends_of(self, consumer: Any, number: int) -> Ends:
        first, after = consumer.get_watermark_offsets(TopicPartition(self.name, number), timeout=self._timeout)
        return Ends(first, after)

    def _opened(self) -> Any:
        with self._making:
            if self._consumer is None:
                try:
                    self._consumer = Consumer(self._properties(), logger=_log)
                except KafkaException as error:
                    problem = Problem(self._instance, "settings", str(error.args[0].str()))
                    raise ConfigError([problem]) from error
            self._said.clear()
            return self._consumer

    def _check(self) -> None:
        settings, problems = self._settings, []
        if settings.text("security", "sasl_ssl").startswith("sasl"):
            problems += [
                Problem(self._instance, name, "is required by this kind of security")
                for name in ("username", "password")
                if not settings.has(name)
            ]
        if bool(settings.text("certificate_file")) != bool(settings.text("key_file")):
            problems.append(Problem(self._instance, "key_file", "certificate_file and key_file go together"))
        if self._timeout <= 0:
            problems.append(Problem(self._instance, "timeout", "must be a positive number of seconds"))
        if problems:
            raise ConfigError(problems)

    def _properties(self) -> dict[str, Any]:
        settings = self._settings
        security = settings.text("security", "sasl_ssl")
        given: dict[str, Any] = {
            "bootstrap.servers": settings.text("brokers"),
            "group.id": self._group,
            "client.id": "nightdesk",
            "security.protocol": security,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "error_cb": self._said.append,
        }
        if security.startswith("sasl"):
            given |= {"sasl.mechanism": settings.text("sasl_mechanism", "SCRAM-SHA-512")}
            given |= {"sasl.username": settings.text("username"), "sasl.password": settings.secret("password").reveal()}
        return given | _files(settings)


class Reading:
    """The partitions that are being read, to be asked page by page."""

    def __init__(
        self, consumer: Any, topic: str, wanted: Mapping[int, tuple[int, int]], timeout: float, said: list[KafkaError]
    ) -> None:
        self.positions = {number: first for number, (first, _) in wanted.items()}
        """By partition the next offset."""
        self._open = {number: end for number, (_, end) in wanted.items()}
        self._consumer, self._topic, self._timeout, self._said = consumer, topic, timeout, said

    @property
    def done(self) -> bool:
        """Whether every partition is read to its end."""
        return not self._open

    def page(self, limit: int) -> list[Message]:
        """At most ``limit`` messages. Raises UnavailableError when nothing comes for the timeout."""
        found: list[Message] = []
        end = time.monotonic() + self._timeout
        while self._open and len(found) < limit:
            try:
                messages = self._consumer.consume(limit - len(found), timeout=_STEP)
            except (KafkaException, RuntimeError) as error:  # RuntimeError: closed in the meantime
                what = error.args[0] if isinstance(error, KafkaException) else None
                raise fault(what, self._topic, self._said) from error
            for message in messages:
                self._take(message, found)
            if messages:
                end = time.monotonic() + self._timeout
            elif found:
                break  # what is there now is a page; the rest is waited for in the next
            elif time.monotonic() > end:
                raise fault(None, self._topic, self._said)
        return found

    def end(self) -> None:
        """Stops fetching."""
        try:
            self._consumer.unassign()
        except (KafkaException, RuntimeError):
            _log.debug("the consumer is closed already")

    def _take(self, message: Any, found: list[Message]) -> None:
        error, number = message.error(), message.partition()
        if error is None:
            moment = message.timestamp()[1]
            # With the time, so that a topic made anew under the same name has no message that is known already.
            found.append(Message(message.value(), f"{self._topic}-{number}-{message.offset()}-{moment}"))
            self._reached(number, message.offset() + 1)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # that is its public name
            # Behind the last message may stand the marks of transactions, which have offsets too.
            self._reached(number, message.offset())
            self._open.pop(number, None)
        elif not passing(error):
            raise fault(error, self._topic, self._said)
        else:
            self._said.append(error)

    def _reached(self, number: int, offset: int) -> None:
        self.positions[number] = max(offset, self.positions.get(number, 0))
        if self.positions[number] >= self._open.get(number, offset + 1):
            self._open.pop(number, None)


def _files(settings: Settings) -> dict[str, Any]:
    names = {
        "ca_file": "ssl.ca.location",
        "certificate_file": "ssl.certificate.location",
        "key_file": "ssl.key.location",
    }
    given: dict[str, Any] = {theirs: settings.text(ours) for ours, theirs in names.items() if settings.text(ours)}
    if settings.has("key_password"):
        given["ssl.key.password"] = settings.secret("key_password").reveal()
    return given

"""Alerts from a Kafka topic, by offsets that are ours and not the broker's."""

from nightdesk.connectors.kafka_topic.connector import Connector

__all__ = ["Connector"]

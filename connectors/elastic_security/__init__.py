"""Elastic Security: detection alerts from Elasticsearch, alert workflow and Elastic Defend response through Kibana."""

from nightdesk.connectors.elastic_security.connector import Connector

__all__ = ["Connector"]

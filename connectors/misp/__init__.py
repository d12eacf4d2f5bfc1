"""MISP: attributes in as they change and as their events are published, attributes of our own out, values looked up."""

from nightdesk.connectors.misp.connector import Connector

__all__ = ["Connector"]

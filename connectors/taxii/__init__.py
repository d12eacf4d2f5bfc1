"""TAXII 2.1: a collection's indicators in, indicators of our own published and revoked."""

from nightdesk.connectors.taxii.connector import Connector

__all__ = ["Connector"]

"""Sophos Central over its public APIs: the SIEM feed, acknowledging, endpoint isolation and scans, blocked items."""

from nightdesk.connectors.sophos_central.connector import Connector

__all__ = ["Connector"]

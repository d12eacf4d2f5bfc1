"""Microsoft Sentinel over Azure Resource Manager: incidents with alerts and entities, triage, indicators, queries."""

from nightdesk.connectors.microsoft_sentinel.connector import Connector

__all__ = ["Connector"]

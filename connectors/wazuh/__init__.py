"""Wazuh 4.x: alerts from its indexer; addresses blocked, accounts locked and scripts run by its agents."""

from nightdesk.connectors.wazuh.connector import Connector

__all__ = ["Connector"]

"""Palo Alto Networks firewalls over the XML API: addresses blocked by tags, each effect read from table and policy."""

from nightdesk.connectors.paloalto_firewall.connector import Connector

__all__ = ["Connector"]

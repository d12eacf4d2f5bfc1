"""Palo Alto Networks Cortex XDR over its public API: alerts or incidents, endpoints, response actions."""

from nightdesk.connectors.paloalto_cortex_xdr.connector import Connector

__all__ = ["Connector"]

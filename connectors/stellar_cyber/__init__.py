"""Stellar Cyber Open XDR: cases over the connect API, their status, resolution and comments."""

from nightdesk.connectors.stellar_cyber.connector import Connector

__all__ = ["Connector"]

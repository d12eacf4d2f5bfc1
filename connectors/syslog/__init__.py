"""Alerts sent by syslog: over UDP, TCP and TLS, kept in a spool until the hub has stored them."""

from nightdesk.connectors.syslog.connector import Connector

__all__ = ["Connector"]

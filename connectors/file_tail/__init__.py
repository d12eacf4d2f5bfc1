"""Alerts that a sensor writes to a growing log file: Suricata's EVE, Zeek's notice.log and intel.log."""

from nightdesk.connectors.file_tail.connector import Connector

__all__ = ["Connector"]

"""Splunk Enterprise Security: notables pulled by index time or received as HEC bodies, their review written back."""

from nightdesk.connectors.splunk_es.connector import Connector

__all__ = ["Connector"]

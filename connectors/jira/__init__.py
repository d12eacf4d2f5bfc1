"""Jira Cloud over its REST API v3: a case's ticket as an issue, moved by transitions, followed both ways."""

from nightdesk.connectors.jira.connector import Connector

__all__ = ["Connector"]

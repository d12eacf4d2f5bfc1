"""ServiceNow over its Table API: a case's ticket as an incident or a security incident, followed both ways."""

from nightdesk.connectors.servicenow.connector import Connector

__all__ = ["Connector"]

"""IBM QRadar SIEM over the console's REST API: offenses with their look-ups, triage, blocklists in sets, AQL."""

from nightdesk.connectors.ibm_qradar.connector import Connector

__all__ = ["Connector"]

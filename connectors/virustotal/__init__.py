"""VirusTotal: opinions about addresses, domains, URLs and files within the key's quota; new analyses when allowed."""

from nightdesk.connectors.virustotal.connector import Connector

__all__ = ["Connector"]

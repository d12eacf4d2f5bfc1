"""CrowdSec over its Local API: alerts by number, bans of addresses as decisions of our own."""

from nightdesk.connectors.crowdsec.connector import Connector

__all__ = ["Connector"]

"""CrowdStrike Falcon over its OAuth2 API: alerts v2/v3, host containment, custom indicators."""

from nightdesk.connectors.crowdstrike_falcon.connector import Connector

__all__ = ["Connector"]

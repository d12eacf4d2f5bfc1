"""SentinelOne Singularity over its console's API: threats or unified alerts, isolation, mitigation, blocklist."""

from nightdesk.connectors.sentinelone.connector import Connector

__all__ = ["Connector"]

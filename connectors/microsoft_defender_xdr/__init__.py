"""Microsoft Defender XDR: alerts and incidents over Graph, devices and indicators over Defender for Endpoint's API."""

from nightdesk.connectors.microsoft_defender_xdr.connector import Connector

__all__ = ["Connector"]

"""Microsoft Entra ID over Graph v1.0: risk detections, risky users, verdicts on them, accounts, groups and factors."""

from nightdesk.connectors.microsoft_entra_id.connector import Connector

__all__ = ["Connector"]

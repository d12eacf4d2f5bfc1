"""VMware/Broadcom Carbon Black Cloud: alerts v7, device actions, Live Response, reputation overrides."""

from nightdesk.connectors.carbon_black_cloud.connector import Connector

__all__ = ["Connector"]

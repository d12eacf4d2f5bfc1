"""Trend Vision One over its API v3.0: Workbench alerts, response tasks, the Suspicious Object List."""

from nightdesk.connectors.trend_vision_one.connector import Connector

__all__ = ["Connector"]

"""Okta over its Management API: the System Log, users and their lifecycle, groups, network zones."""

from nightdesk.connectors.okta.connector import Connector

__all__ = ["Connector"]

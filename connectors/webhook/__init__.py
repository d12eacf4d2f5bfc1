"""Alerts that any sender posts as JSON: signed with HMAC-SHA256, or with a token of their own."""

from nightdesk.connectors.webhook.connector import Connector

__all__ = ["Connector"]

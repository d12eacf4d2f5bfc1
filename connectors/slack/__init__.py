"""Slack over the Web API: messages and approval buttons into channels, each read back from the channel itself."""

from nightdesk.connectors.slack.connector import Connector

__all__ = ["Connector"]

"""TheHive 5 over its API v1: a case's ticket as a case of TheHive, opened through an alert that can exist only once."""

from nightdesk.connectors.thehive.connector import Connector

__all__ = ["Connector"]

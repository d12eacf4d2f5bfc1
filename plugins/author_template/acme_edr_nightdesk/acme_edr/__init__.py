"""Acme EDR: alerts, triage, host isolation."""

from acme_edr_nightdesk.acme_edr.connector import Connector

__all__ = ["Connector"]

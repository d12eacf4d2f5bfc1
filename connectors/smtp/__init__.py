"""Mail over SMTP: notifications and requests for approval, handed to a relay that says only that it took them."""

from nightdesk.connectors.smtp.connector import Connector

__all__ = ["Connector"]

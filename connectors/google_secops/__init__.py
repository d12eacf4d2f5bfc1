"""Google SecOps over the Chronicle API: detections in, feedback out, indicators in a data table, UDM searches."""

from nightdesk.connectors.google_secops.connector import Connector

__all__ = ["Connector"]

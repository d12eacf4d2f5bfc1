"""Sophos Central: alerts and events of the SIEM integration API, and detections of the detections API."""

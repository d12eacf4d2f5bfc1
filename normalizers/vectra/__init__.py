"""Vectra AI: detections and entities of the APIs (QUX and RUX), and its syslog lines as JSON and CEF."""

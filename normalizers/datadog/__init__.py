"""Datadog: security findings and the signals of security monitoring."""

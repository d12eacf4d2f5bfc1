"""Okta: events of the System Log."""

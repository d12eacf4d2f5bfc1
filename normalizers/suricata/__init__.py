"""Suricata: alerts of the EVE log."""

"""Rapid7 InsightIDR: alerts of the triage API, and investigations of both versions of theirs."""

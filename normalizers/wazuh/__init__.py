"""Wazuh: alerts of the manager, as lines of alerts.json and as documents of the indexer."""

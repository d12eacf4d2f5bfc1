"""Wiz: issues, threat detections and cloud configuration findings of its GraphQL API."""

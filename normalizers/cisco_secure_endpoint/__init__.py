"""Cisco Secure Endpoint (AMP for Endpoints): events of the v1 API and of its event streams."""

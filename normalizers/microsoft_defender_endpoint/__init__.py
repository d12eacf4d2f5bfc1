"""Microsoft Defender for Endpoint: alerts of its own API."""

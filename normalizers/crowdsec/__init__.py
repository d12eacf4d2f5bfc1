"""CrowdSec: alerts of the Local API."""

"""Microsoft Sentinel: rows of SecurityAlert, and alerts and incidents of the management API and its SDK."""

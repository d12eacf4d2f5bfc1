"""Jamf Protect: alerts and unified log matches of macOS endpoints, as data forwarding sends them."""

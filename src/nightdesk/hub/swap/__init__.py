"""Swapping a vendor: rehearse it on simulators with recorded cases, then commit it and hand the open leases over."""

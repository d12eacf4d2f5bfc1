"""Servers of vendors, the real programs, for suites that prove a connector against more than our own simulator."""

"""The case engine: it sees ports and values, never a vendor."""

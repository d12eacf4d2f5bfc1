"""One folder per product: what its alerts mean in STIX 2.1."""

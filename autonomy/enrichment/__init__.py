"""What enrichment means to a decision: it raises caution, and a signed allow-list alone answers what it raised."""

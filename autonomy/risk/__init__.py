"""What may be claimed of decisions made by a score: bounds, thresholds, contamination, and whether they still hold."""

"""Elastic Security: alerts of the detection engine, and of the endpoint sensor before a rule has taken them up."""

"""Mutated alerts of every product: each becomes a valid bundle, or is set aside with a pointer."""

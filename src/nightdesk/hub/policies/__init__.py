"""Policies as code: tried on written cases, explained on real ones, replayed over the past, rolled out by tenant."""

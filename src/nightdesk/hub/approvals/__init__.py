"""Approvals at work: who a tenant's people are, asking them, and taking their answers on every channel."""

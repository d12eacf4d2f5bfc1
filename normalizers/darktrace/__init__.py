"""Darktrace: model breaches, AI Analyst incident events, and state changes of the autonomous response."""

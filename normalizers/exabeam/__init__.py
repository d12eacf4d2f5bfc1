"""Exabeam Advanced Analytics: notable sessions, and one session asked for by its id."""

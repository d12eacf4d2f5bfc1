"""Zeek: notices, and sightings of what the intelligence framework looks for."""

"""Snort: alerts as JSON of version 3, and the one-line text alerts of versions 2 and 3."""

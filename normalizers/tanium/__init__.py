"""Tanium: Threat Response alerts and the recorder's events, as Tanium Connect forwards them."""

"""Sumo Logic Cloud SIEM: insights and the signals they are made of."""

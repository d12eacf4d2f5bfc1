"""Trend Vision One: Workbench alerts, Observed Attack Techniques, and detections of the data lake."""

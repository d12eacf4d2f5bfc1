"""Palo Alto Networks Cortex XDR and XSIAM: alerts with their events, events alone, incidents and original alerts."""

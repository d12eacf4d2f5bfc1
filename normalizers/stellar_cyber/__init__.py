"""Stellar Cyber Open XDR: cases (formerly incidents) of the connect API."""

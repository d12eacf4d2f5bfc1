"""Proofpoint Targeted Attack Protection: messages and clicks of the SIEM API."""

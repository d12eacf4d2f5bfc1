"""Splunk Enterprise Security: notables, which version 8 calls findings, as rows of the notable and risk indexes."""

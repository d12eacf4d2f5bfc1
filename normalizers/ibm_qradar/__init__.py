"""IBM QRadar SIEM: offenses of the REST API."""

"""Cybereason: malops of the detection and visual search APIs, and malop lines of the CEF syslog forwarder."""

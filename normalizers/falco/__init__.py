"""Falco: alerts as JSON, of system calls and of the event sources that plugins read."""

"""Playbooks: CACAO 2.0 documents whose commands are this project's verbs, checked, and run as a pure state machine."""

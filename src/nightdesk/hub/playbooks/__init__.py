"""Playbooks at work: started by people, carried on by the hub, shown before they are run, and rehearsed."""

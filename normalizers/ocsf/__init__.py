"""OCSF: findings and events of any vendor that speaks the Open Cybersecurity Schema Framework."""

"""Amazon GuardDuty: findings as the API gives them and as EventBridge delivers them."""

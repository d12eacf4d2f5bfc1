"""AWS Security Hub: findings in ASFF, and the findings of its second version in OCSF."""

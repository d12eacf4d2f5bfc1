"""The levels of autonomy: what a rule may do alone in one tenant, and how that right is earned and lost."""

"""The hub as an OpenC2 consumer: who may command what, what a tenant can do, and how a command becomes an action."""

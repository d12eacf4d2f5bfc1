"""What the contract asks of a connector, one coroutine a question; ``nightdesk.sdk.testing.contract`` runs them."""

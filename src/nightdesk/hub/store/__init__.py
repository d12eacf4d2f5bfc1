"""Where everything durable lives: raw alerts, cursors, cases, decisions, actions, each row under its tenant."""

from nightdesk.hub.store.store import Store

__all__ = ["Store"]

"""A case that is decided again because answers came, and not because an alert joined it."""

from datetime import datetime

from nightdesk.sdk.case import Case, Decision

__all__ = ["adds_nothing", "arrival"]


def arrival(previous: Decision | None, case: Case) -> datetime:
    """When its last alert arrived, by the decision of then: holds count from it, and deciding changes the case."""
    told = previous.inputs.get("context", {}).get("last_arrival") if previous else None
    return datetime.fromisoformat(told) if told else case.updated_at


def adds_nothing(decision: Decision) -> bool:
    """True when a person has the case, and an answer that came meanwhile adds nothing to that."""
    return decision.reason_code == "abstain-with-person"

"""Whether an alert that came again, or a case decided again, says anything new."""

from nightdesk.sdk.case import Alert, Decision

__all__ = ["means_more", "says_the_same"]


def means_more(before: Alert, after: Alert) -> bool:
    """True when an update says something a decision should weigh: more than its state in the vendor's console."""
    return (
        before.severity_id != after.severity_id
        or before.entities != after.entities
        or before.techniques != after.techniques
        or set(after.caution) - set(before.caution) != set()
        or (before.closed_at_source and not after.closed_at_source)
    )


def says_the_same(previous: Decision, now: Decision) -> bool:
    """True when deciding again said nothing new."""
    return (
        previous.outcome == now.outcome
        and previous.verdict == now.verdict
        and previous.reason_code == now.reason_code
        and previous.proposals == now.proposals
        and previous.starts == now.starts
        and previous.hold_until == now.hold_until
    )

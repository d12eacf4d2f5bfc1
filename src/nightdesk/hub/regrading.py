"""What a vendor says of an alert later counts as if it had come first: cases and groups become as grave (law 7)."""

from collections.abc import Sequence

from sqlalchemy import Connection

from nightdesk.autonomy.correlate import raised
from nightdesk.autonomy.grouping import entity_of, regraded
from nightdesk.hub.store import cases, groups
from nightdesk.hub.store.prior import headers
from nightdesk.sdk.case import Alert

__all__ = ["regrade"]


def regrade(conn: Connection, tenant: str, said: Sequence[tuple[str, Alert]]) -> None:
    """``said``: alerts that are known already and now say more, each with its case."""
    if not said:
        return
    known = headers(conn, tenant, sorted({case_id for case_id, _ in said}))
    severity = {case_id: header.severity_id for case_id, header in known.items()}
    for case_id, alert in said:
        severity[case_id] = raised(severity.get(case_id, 0), alert)
    for case_id, header in known.items():
        if severity[case_id] != header.severity_id:
            cases.raise_severity(conn, tenant, case_id, severity[case_id])
    alerts = [alert for _, alert in said]
    times = [alert.first_seen.timestamp() for alert in alerts]
    near = groups.groups_near(conn, tenant, {entity_of(alert) for alert in alerts}, min(times), max(times))
    made = regraded(alerts, near)
    case_of = {made.of_alert[alert.alert_id]: case_id for case_id, alert in said if alert.alert_id in made.of_alert}
    groups.put_groups(conn, tenant, made.groups, case_of)

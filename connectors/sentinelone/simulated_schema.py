"""The schema of the simulated unified alerts: types with their fields, words that are allowed, columns to filter by."""

from nightdesk.connectors.sentinelone.simulated_graphql import Schema

__all__ = ["MOST", "SCHEMA", "STATUSES", "TEXTS", "TIMES", "VERDICTS", "VIEWS"]

STATUSES = frozenset({"NEW", "IN_PROGRESS", "RESOLVED"})
_TRUE = ("MALWARE", "RANSOMWARE", "UNAUTHORIZED_ACCESS", "DATA_EXFILTRATION", "INSIDER_THREAT", "PHISHING_ATTACK")
_ALSO_TRUE = ("ADVANCED_PERSISTENT_THREAT", "DENIAL_OF_SERVICE", "POLICY_VIOLATION", "EXPLOITATION_TOOLS", "PUA_ADWARE")
_FALSE = ("SYSTEM_ERROR", "USER_ERROR")
_EITHER = ("BENIGN", "BENIGN_BUT_SUSPICIOUS", "UNDEFINED")
VERDICTS = frozenset(
    {
        "UNDEFINED",
        *(f"TRUE_POSITIVE_{word}" for word in (*_TRUE, *_ALSO_TRUE, *_EITHER)),
        *(f"FALSE_POSITIVE_{word}" for word in (*_FALSE, *_EITHER)),
    }
)
VIEWS = frozenset({"ALL", "ASSIGNED_TO_ME", "UNASSIGNED", "MY_TEAM"})
MOST = 100
"""Alerts a page."""

TIMES = ("createdAt", "updatedAt", "detectedAt", "lastSeenAt")
TEXTS = ("id", "status", "severity", "analystVerdict", "storylineId")
_PLAIN = (
    "id externalId name description severity status analystVerdict classification confidenceLevel detectedAt createdAt"
    " updatedAt firstSeenAt lastSeenAt attackSurfaces dataSources storylineId ticketId noteExists result rawData"
)


def _leaves(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "")


SCHEMA: Schema = {
    "Query": {"alerts": "Connection", "alert": "Alert", "alertNotes": "Notes"},
    "Mutation": {"alertTriggerActions": "Outcome"},
    "Alert": {
        **_leaves(_PLAIN),
        "asset": "Asset",
        "assignee": "User",
        "analytics": "Analytics",
        "detectionSource": "Source",
        "process": "Process",
        "observables": "Observable",
        "realTime": "RealTime",
    },
    "Asset": _leaves(
        "id agentUuid agentId agentVersion name domain type category subcategory osType osVersion networkStatus"
        " lastLoggedInUser"
    ),
    "User": _leaves("userId email fullName"),
    "Analytics": _leaves("uid name category"),
    "Source": _leaves("product vendor"),
    "Process": {**_leaves("cmdLine username parentName"), "file": "File"},
    "File": _leaves("name path sha256 sha1 md5 size"),
    "Observable": _leaves("type value"),
    "RealTime": {"scope": "Scope"},
    "Scope": {"account": "Level", "site": "Level", "group": "Level"},
    "Level": _leaves("id name"),
    "Connection": {"edges": "Edge", "pageInfo": "PageInfo", "totalCount": ""},
    "Edge": {"node": "Alert", "cursor": ""},
    "PageInfo": _leaves("hasNextPage hasPreviousPage startCursor endCursor"),
    "Notes": {"data": "Note"},
    "Note": {**_leaves("id text createdAt alertId"), "author": "User"},
    "Outcome": {},
    "ActionsTriggered": {"actions": "Action"},
    "Action": {**_leaves("actionId alertCount"), "success": "Hit", "skip": "Hit", "failure": "Miss"},
    "Hit": _leaves("id"),
    "Miss": _leaves("id errorMessage errorType"),
    "TriggerActionsError": {"errors": "Complaint"},
    "Complaint": _leaves("errorMessage"),
    "TriggerActionsScheduled": _leaves("bulkActionTriggerId"),
}

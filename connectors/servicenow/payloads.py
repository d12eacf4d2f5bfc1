"""The shape of the simulated instance's records: columns, choices and their labels, a new incident, the close codes."""

from collections.abc import Mapping

from nightdesk.connectors.servicenow.wire import sys_id

__all__ = ["CHOICES", "COLUMNS", "JOURNALS", "REFERENCES", "TIMES", "USERS", "choice_rows", "new_ticket"]

_SYSTEM = ("sys_id", "sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count")
_TASK = (
    *_SYSTEM,
    "number",
    "short_description",
    "description",
    "state",
    "active",
    "priority",
    "impact",
    "urgency",
    "category",
    "caller_id",
    "opened_by",
    "assigned_to",
    "assignment_group",
    "correlation_id",
    "correlation_display",
    "close_code",
    "close_notes",
    "hold_reason",
    "resolved_at",
)
JOURNALS = ("work_notes", "comments")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "incident": (*_TASK, *JOURNALS),
    "sn_si_incident": (*_TASK, *JOURNALS),
    "sys_journal_field": (*_SYSTEM[:3], "element_id", "element", "name", "value"),
    "sys_choice": ("sys_id", "name", "element", "value", "label", "language", "inactive", "sequence"),
}
TIMES = frozenset({"sys_created_on", "sys_updated_on", "resolved_at"})
REFERENCES: Mapping[str, str] = dict.fromkeys(("caller_id", "opened_by", "assigned_to"), "sys_user")
USERS: Mapping[str, str] = {"nightdesk": "Nightdesk Integration", "a.analyst": "Ada Analyst"}

_LEVELS = {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"}
CHOICES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "incident": {
        "state": {
            "1": "New",
            "2": "In Progress",
            "3": "On Hold",
            "6": "Resolved",
            "7": "Closed",
            "8": "Canceled",
        },
        "impact": _LEVELS,
        "urgency": _LEVELS,
    },
    "sn_si_incident": {
        "state": {
            "10": "Draft",
            "16": "Analysis",
            "18": "Contain",
            "19": "Eradicate",
            "20": "Recover",
            "100": "Review",
            "3": "Closed",
            "7": "Cancelled",
        },
        "impact": _LEVELS,
        "urgency": _LEVELS,
    },
}
_CODES: Mapping[str, tuple[str, ...]] = {
    "incident": (
        "Duplicate",
        "Known error",
        "No resolution provided",
        "Resolved by caller",
        "Resolved by request",
        "Solution provided",
        "User error",
    ),
    "sn_si_incident": ("Threat mitigated", "False positive", "Duplicate"),
}
_FIRST: Mapping[str, str] = {"incident": "1", "sn_si_incident": "10"}
_PREFIX: Mapping[str, str] = {"incident": "INC", "sn_si_incident": "SIR"}


def choice_rows() -> list[dict[str, str]]:
    """The close codes as ``sys_choice`` has them, an inactive one and one of another language among them."""
    made = []
    for table, codes in _CODES.items():
        for number, code in enumerate((*codes, "Closed/Resolved by Caller", codes[0])):
            german = number > len(codes)
            made.append(
                {
                    "sys_id": sys_id("choice", table, number),
                    "name": table,
                    "element": "close_code",
                    "value": code,
                    "label": code,
                    "language": "de" if german else "en",
                    "inactive": "true" if number == len(codes) else "false",
                    "sequence": str(number),
                }
            )
    return made


def new_ticket(table: str, number: int, user: str, now: str, seed: str) -> dict[str, str]:
    """A record with every column, as the instance fills it before it looks at what was sent."""
    filled = {
        "sys_id": sys_id(seed, table, number),
        "number": f"{_PREFIX[table]}{number:07d}",
        "state": _FIRST[table],
        "active": "true",
        "impact": "3",
        "urgency": "3",
        "priority": "5",
        "opened_by": sys_id("user", user),
        "sys_created_on": now,
        "sys_created_by": user,
        "sys_updated_on": now,
        "sys_updated_by": user,
        "sys_mod_count": "0",
    }
    return {name: filled.get(name, "") for name in COLUMNS[table] if name not in JOURNALS}

"""The simulated Security Hub: findings of all products, filters that must be whole, updates that leave UpdatedAt alone.

Sources: https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html and
.../API_BatchUpdateFindings.html
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from nightdesk.connectors.aws.simulated_pages import Pages
from nightdesk.connectors.aws.wire import Ask, AwsError, Operation
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import SECOND, instant, iso

__all__ = ["HubApi"]

_MOST = 100
_LONGEST = 512
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "Id": ("Id",),
    "ProductArn": ("ProductArn",),
    "RecordState": ("RecordState",),
    "WorkflowStatus": ("Workflow", "Status"),
    "SeverityLabel": ("Severity", "Label"),
    "VerificationState": ("VerificationState",),
}
_DATES = frozenset({"UpdatedAt", "CreatedAt", "FirstObservedAt", "LastObservedAt"})
_WORKFLOWS = frozenset({"NEW", "NOTIFIED", "RESOLVED", "SUPPRESSED"})
_VERDICTS = frozenset({"UNKNOWN", "TRUE_POSITIVE", "FALSE_POSITIVE", "BENIGN_POSITIVE"})
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "EQUALS": lambda value, wanted: value == wanted,
    "PREFIX": lambda value, wanted: value.startswith(wanted),
    "NOT_EQUALS": lambda value, wanted: value != wanted,
    "PREFIX_NOT_EQUALS": lambda value, wanted: not value.startswith(wanted),
}


class HubApi:
    """The findings by region, id and product, in the regions whose hub is ``enabled``.

    ``stuck`` says by id why an update is not processed.
    """

    def __init__(
        self, clock: Clock, account: str, enabled: set[str], drift: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._clock = clock
        self._account = account
        self._drift = drift
        self._pages = Pages()
        self.enabled = enabled
        self.stuck: dict[str, str] = {}
        self.findings: dict[tuple[str, str, str], dict[str, Any]] = {}

    def operations(self) -> dict[str, Operation]:
        """What can be called."""
        return {
            "DescribeHub": Operation(self._describe),
            "GetFindings": Operation(self._get),
            "BatchUpdateFindings": Operation(self._update, changes=True),
        }

    def put(self, region: str, finding: dict[str, Any]) -> None:
        """What a provider does: imports a finding, or a new version of it."""
        self.findings[region, str(finding["Id"]), str(finding["ProductArn"])] = finding

    def find(self, native_id: str) -> dict[str, Any] | None:
        """The finding of that id in any region."""
        return next((row for (_, name, _), row in self.findings.items() if name == native_id), None)

    def expire_tokens(self) -> None:
        """A day passes for whoever is paging."""
        self._pages.expire()

    def _describe(self, ask: Ask) -> Mapping[str, Any]:
        self._check(ask)
        return {"HubArn": f"arn:aws:securityhub:{ask.region}:{self._account}:hub/default", "AutoEnableControls": True}

    def _get(self, ask: Ask) -> Mapping[str, Any]:
        self._check(ask)
        size, filters, order = (
            ask.given.get("MaxResults", 10),
            ask.given.get("Filters") or {},
            ask.given.get("SortCriteria") or [],
        )
        if not isinstance(size, int) or not 1 <= size <= _MOST:
            raise _invalid("MaxResults must be 1 to 100")
        unknown = set(filters) - set(_TEXTS) - _DATES
        if unknown:
            raise _invalid(f"Invalid parameter for filter: {', '.join(sorted(unknown))}")
        self._fits({}, filters)  # what is wrong with them shows without any finding
        rows = [
            row for (region, _, _), row in self.findings.items() if region == ask.region and self._fits(row, filters)
        ]
        for rule in reversed(order):
            name, way = rule.get("Field"), rule.get("SortOrder", "asc")
            if name not in _DATES or way not in {"asc", "desc"}:
                raise _invalid(f"Invalid sort criterion {name} {way}")
            rows.sort(key=_time_of(str(name)), reverse=way == "desc")
        try:
            query = [ask.region, filters, order]
            page, token = self._pages.cut(rows, size, str(ask.given.get("NextToken") or ""), query)
        except ValueError as error:
            raise _invalid("Invalid token") from error
        return {"Findings": [self._drift(row) for row in page], **({"NextToken": token} if token else {})}

    def _update(self, ask: Ask) -> Mapping[str, Any]:
        self._check(ask)
        names = ask.given.get("FindingIdentifiers")
        if not isinstance(names, list) or not 1 <= len(names) <= _MOST:
            raise _invalid("FindingIdentifiers must hold 1 to 100 findings")
        changes = self._changes(ask)
        done: list[dict[str, Any]] = []
        undone: list[dict[str, Any]] = []
        for name in names:
            row = self.findings.get((ask.region, str(name.get("Id")), str(name.get("ProductArn"))))
            code = self.stuck.get(str(name.get("Id")), "" if row is not None else "FindingNotFound")
            if row is None or code:
                undone.append({"FindingIdentifier": name, "ErrorCode": code, "ErrorMessage": "not updated"})
                continue
            row.update(changes)
            done.append(name)
        return {"ProcessedFindings": done, "UnprocessedFindings": undone}

    def _changes(self, ask: Ask) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if "Workflow" in ask.given:
            if (ask.given["Workflow"] or {}).get("Status") not in _WORKFLOWS:
                raise _invalid("Workflow.Status is not one of its values")
            made["Workflow"] = {"Status": ask.given["Workflow"]["Status"]}
        if "VerificationState" in ask.given:
            if ask.given["VerificationState"] not in _VERDICTS:
                raise _invalid("VerificationState is not one of its values")
            made["VerificationState"] = ask.given["VerificationState"]
        if "Note" in ask.given:
            text, author = (str((ask.given["Note"] or {}).get(name) or "") for name in ("Text", "UpdatedBy"))
            if not 1 <= len(text) <= _LONGEST or not author:
                raise _invalid("Note needs UpdatedBy and a Text of 1 to 512 characters")
            moment = iso(int(self._clock().timestamp() * 1000) * 1_000_000, 3)
            made["Note"] = {"Text": text, "UpdatedBy": author, "UpdatedAt": moment}
        return made

    def _check(self, ask: Ask) -> None:
        if ask.region not in self.enabled:
            message = f"Account {self._account} is not subscribed to AWS Security Hub"
            raise AwsError("InvalidAccessException", message, 401)

    def _fits(self, row: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
        """Values of one name are alternatives, names are not."""
        for name, tests in filters.items():
            if not isinstance(tests, list) or not 1 <= len(tests) <= 20:
                raise _invalid(f"{name} takes 1 to 20 values")
            if not any(self._dated(row, name, one) if name in _DATES else _said(row, name, one) for one in tests):
                return False
        return True

    def _dated(self, row: Mapping[str, Any], name: str, test: Mapping[str, Any]) -> bool:
        moment = instant(row.get(name)) or 0
        if "DateRange" in test:
            days = test["DateRange"]
            if days.get("Unit") != "DAYS" or set(test) != {"DateRange"}:
                raise _invalid("DateRange stands alone, in DAYS")
            since = self._clock() - timedelta(days=int(days["Value"]))
            return moment >= int(since.timestamp()) * SECOND
        begin, end = instant(test.get("Start")), instant(test.get("End"))
        if begin is None or end is None:
            raise _invalid(f"{name} needs both Start and End in ISO 8601, or a DateRange")
        return begin <= moment <= end


def _time_of(name: str) -> Callable[[Mapping[str, Any]], int]:
    return lambda row: instant(row.get(name)) or 0


def _said(row: Mapping[str, Any], name: str, test: Mapping[str, Any]) -> bool:
    found: Any = row
    for part in _TEXTS[name]:
        found = found.get(part) if isinstance(found, Mapping) else None
    compare = _COMPARISONS.get(str(test.get("Comparison")))
    if compare is None or not isinstance(test.get("Value"), str):
        raise _invalid(f"{name} needs a Value and a Comparison")
    return compare(str(found or ""), test["Value"])


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)

"""The simulated detections and alerts of an instance: newest first, cut by size, with the analysts' feedback.

Sources: https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/projects.locations.instances.legacy and, for
the order, the truncation and the curated rules that know no wildcard, what OneUptime's open connector met at tenants.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.google_secops.payloads import timestamp
from nightdesk.connectors.google_secops.wire import (
    Endpoint,
    GoogleError,
    bound,
    fields,
    flag,
    json_body,
    moment,
    whole,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import instant
from nightdesk.sdk.testing import FaultPlan

__all__ = ["DetectionsApi"]

_ALPHA = frozenset({"v1alpha"})
_DEFAULT_PAGE, _MAX_PAGE = 100, 1000
_STATES = ("UNSPECIFIED", "NOT_ALERTING", "ALERTING")
_BASES = {"LIST_BASIS_UNSPECIFIED": "detectionTime", "DETECTION_TIME": "detectionTime", "CREATED_TIME": "createdTime"}
_SEARCH = ("ruleId", "alertState", "startTime", "endTime", "listBasis", "pageSize", "pageToken", "maxRespSizeBytes")
_ENUMS: Mapping[str, tuple[str, ...]] = {
    "status": ("STATUS_UNSPECIFIED", "NEW", "REVIEWED", "CLOSED", "OPEN"),
    "verdict": ("VERDICT_UNSPECIFIED", "TRUE_POSITIVE", "FALSE_POSITIVE"),
    "reason": ("REASON_UNSPECIFIED", "REASON_NOT_MALICIOUS", "REASON_MALICIOUS", "REASON_MAINTENANCE"),
    "reputation": ("REPUTATION_UNSPECIFIED", "USEFUL", "NOT_USEFUL"),
    "priority": tuple(f"PRIORITY_{name}" for name in ("UNSPECIFIED", "INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")),
}
_SCORES = ("confidenceScore", "riskScore", "severity")
_TEXTS = ("comment", "rootCause")
_MOST = 100
_ANY_SIZE = 2**31 - 1


class DetectionsApi:
    """Collections by their id. ``author`` is who gives feedback over the API."""

    def __init__(
        self, clock: Clock, faults: FaultPlan, author: str, drift: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self.collections: dict[str, dict[str, Any]] = {}
        self.curated: dict[str, str] = {}
        self.valid_tokens = True
        self._clock = clock
        self._faults = faults
        self._author = author
        self._drift = drift

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What can be called."""
        legacy = "chronicle.legacies"
        return (
            ("GET", "/legacy:legacySearchDetections", f"{legacy}.legacySearchDetections", _ALPHA, self._search),
            (
                "GET",
                "/legacy:legacySearchCuratedDetections",
                f"{legacy}.legacySearchCuratedDetections",
                _ALPHA,
                self._search_curated,
            ),
            ("GET", "/legacy:legacyGetAlert", f"{legacy}.legacyGetAlert", _ALPHA, self._get),
            ("POST", "/legacy:legacyUpdateAlert", f"{legacy}.legacyUpdateAlert", _ALPHA, self._update),
        )

    def give(self, detection_id: str, author: str, feedback: Mapping[str, Any]) -> dict[str, Any]:
        """Feedback of somebody: the history grows by it, the summary takes what it says. Returns the collection."""
        collection, now = self.collections[detection_id], timestamp(self._clock())
        said = {"idpUserId": author, "createTime": now, **_without_defaults(feedback)}
        kept = {name: value for name, value in collection.get("feedbackSummary", {}).items() if name not in feedback}
        changed = {
            **collection,
            "lastUpdatedTime": now,
            "feedbackSummary": {**kept, **said},
            "feedbackHistory": [*collection.get("feedbackHistory", ()), said],
        }
        self.collections[detection_id] = changed
        return changed

    async def _search(self, request: Request) -> Response:
        given = bound(request, *_SEARCH)
        rule = given.get("ruleId", "")
        if not rule:
            raise GoogleError(400, "rule_id is required.")
        rule_id, _, revision = rule.partition("@")
        if rule_id.startswith("ur_") or not (rule_id == "-" or rule_id.startswith("ru_")):
            raise GoogleError(400, f"invalid rule_id: {rule}")
        if rule_id == "-" and revision:
            raise GoogleError(400, "a revision needs a rule.")
        rows = [
            row
            for native_id, row in self.collections.items()
            if native_id not in self.curated and rule_id in {"-", row["detection"][0]["ruleId"]}
        ]
        return self._page(given, rows, "detections")

    async def _search_curated(self, request: Request) -> Response:
        given = bound(request, *_SEARCH)
        # No wildcard: "-" is a rule of which there are no detections, and the answer is an empty success.
        rows = [self.collections[name] for name, rule in self.curated.items() if rule == given.get("ruleId")]
        return self._page(given, rows, "curatedDetections")

    def _page(self, given: Mapping[str, str], rows: list[dict[str, Any]], key: str) -> Response:
        """The newest first. A cut page leaves out what did not fit, and its token leads behind that."""
        basis, state = given.get("listBasis", "LIST_BASIS_UNSPECIFIED"), given.get("alertState", "UNSPECIFIED")
        if basis not in _BASES or state not in _STATES:
            raise GoogleError(400, f"Invalid value at 'list_basis' or 'alert_state', \"{basis}\", \"{state}\"")
        size = whole(given, "pageSize", _DEFAULT_PAGE, _MAX_PAGE)
        begin, end = moment(given, "startTime"), moment(given, "endTime")
        if begin is not None and end is not None and begin >= end:
            raise GoogleError(400, "start_time must be before end_time.")
        times = {row["id"]: instant(row[_BASES[basis]]) or 0 for row in rows}
        within = [
            row
            for row in rows
            if (begin or 0) <= times[row["id"]]
            and (end is None or times[row["id"]] < end)
            and state in {"UNSPECIFIED", row["detection"][0]["alertState"]}
        ]
        within.sort(key=lambda row: (times[row["id"]], row["id"]), reverse=True)
        after = self._after(given)
        left = [row for row in within if after is None or (times[row["id"]], row["id"]) < after]
        page = left[:size]
        body: dict[str, Any] = {}
        fault = self._faults.standing("partial_answer")
        if fault is not None and fault.options.get("error"):
            return JSONResponse({"error": {"code": 503, "message": "backend gone", "status": "UNAVAILABLE"}})
        fits = int(fault.options.get("fits", 1)) if fault is not None else _fitting(page, given)
        if len(page) > fits:
            body["respTooLargeDetectionsTruncated"] = True
        if page[:fits]:
            body[key] = [self._drift(row) for row in page[:fits]]
        if len(left) > size:
            body["nextPageToken"] = _token(given, (times[page[-1]["id"]], page[-1]["id"]))
        return JSONResponse(body)

    def _after(self, given: Mapping[str, str]) -> tuple[int, str] | None:
        token = given.get("pageToken", "")
        if not token:
            return None
        try:
            digest, at, native_id = json.loads(urlsafe_b64decode(token.encode()))
        except ValueError:
            raise GoogleError(400, "page token is invalid.") from None
        if digest != _fingerprint(given) or not self.valid_tokens:
            raise GoogleError(400, "page token is invalid or belongs to another request.")
        return int(at), str(native_id)

    async def _get(self, request: Request) -> Response:
        given = bound(request, "alertId", "includeDetections")
        found = self.collections.get(given.get("alertId", ""))
        alerting = found is not None and found["detection"][0]["alertState"] == "ALERTING"
        if found is None or not (alerting or flag(given, "includeDetections")):
            raise GoogleError(404, f"alert {given.get('alertId', '')} not found.")
        return JSONResponse({"alert": self._drift(found)})

    async def _update(self, request: Request) -> Response:
        given = await json_body(request, "alertId", "feedback", "caseName", "responsePlatformInfo")
        known = (*_ENUMS, *_SCORES, *_TEXTS, "disregarded")
        feedback = fields(given.get("feedback"), known, "feedback")
        _checked(feedback)
        native_id = str(given.get("alertId") or "")
        if native_id not in self.collections:
            raise GoogleError(404, f"alert {native_id} not found.")
        if self._faults.standing("accepted_then_failed") is not None:
            return JSONResponse({**self.collections[native_id], "feedbackSummary": feedback})
        return JSONResponse(self._drift(self.give(native_id, self._author, feedback)))


def _checked(feedback: Mapping[str, Any]) -> None:
    """Raises GoogleError for a value that the field cannot have."""
    if not feedback:
        raise GoogleError(400, "feedback is required.")
    for name, value in feedback.items():
        if name in _ENUMS:
            fine = value in _ENUMS[name]
        elif name in _SCORES:
            fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
        else:
            fine = isinstance(value, str if name in _TEXTS else bool)
        if not fine:
            raise GoogleError(400, f"Invalid value at 'feedback.{name}', {json.dumps(value)}")


def _without_defaults(feedback: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON shows of a message: no field with its default."""
    return {
        name: value
        for name, value in feedback.items()
        if value not in {"", 0} and not str(value).endswith("_UNSPECIFIED")
    }


def _fitting(page: list[dict[str, Any]], given: Mapping[str, str]) -> int:
    """How many of the page's detections fit into the answer that was asked for; 0 bytes mean any."""
    left = whole(given, "maxRespSizeBytes", _ANY_SIZE, _ANY_SIZE)
    for number, row in enumerate(page):
        left -= len(json.dumps(row))
        if left < 0:
            return number
    return len(page)


def _fingerprint(given: Mapping[str, str]) -> str:
    """All but the size must stay the same from page to page (https://google.aip.dev/158)."""
    same = sorted((name, value) for name, value in given.items() if name not in {"pageSize", "pageToken"})
    return sha256(json.dumps(same).encode()).hexdigest()[:16]


def _token(given: Mapping[str, str], at: tuple[int, str]) -> str:
    return urlsafe_b64encode(json.dumps([_fingerprint(given), *at]).encode()).decode()

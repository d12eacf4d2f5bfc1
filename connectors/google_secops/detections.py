"""Detections of one instance: pages of what was created within a window, one by its id, and feedback on it."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from nightdesk.connectors.google_secops.client import ALERTS, VENDOR, Chronicle, broken, document
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NotFoundError,
    Problem,
    RejectedError,
    ResponseError,
)
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.records import Failure, RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.verbatim import cut

__all__ = ["CREATED", "MAX_OVERLAP", "Detections", "Page", "record_of"]

CREATED = "createdTime"
MAX_OVERLAP = timedelta(hours=12)
_WINDOW = timedelta(hours=24)  # a span that is read as a whole; longer than the overlap, so that each one gets further
_DIGITS = 9  # of a second
_MOST_BYTES = 32 * 1024 * 1024  # an answer; what is over it is cut and asked for again with fewer
_BAD = 400
_CURATED = re.compile(r"ur_[A-Za-z0-9_-]+")
_ALERT = re.compile(rb'\s*\{\s*"alert"\s*:\s*')
_KNOWN = frozenset({"nextPageToken", "respTooLargeDetectionsTruncated", "nestedDetectionSamples"})
_VERSION = ("lastUpdatedTime", "feedbackSummary", "caseName")
_UPDATE = "chronicle.legacies.legacyUpdateAlert"


@dataclass(frozen=True, slots=True)
class Page:
    """One page: detections decoded and verbatim, what of it did not come, whether the window ends with it."""

    elements: Sequence[tuple[Any, bytes]]
    failures: Sequence[Failure]
    last: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """A method that searches: rules of the customer's know the wildcard ``-``, each of Google's is asked by itself."""

    method: str
    rule: str
    key: str

    @property
    def permission(self) -> str:
        return f"chronicle.legacies.{self.method}"


@dataclass(frozen=True, slots=True)
class _Answer:
    elements: Sequence[tuple[Any, bytes]]
    token: str
    truncated: bool
    body: bytes


def record_of(detection: Mapping[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """The record and when it was created. Its version is what analysts change of it: all else stays as it was made."""
    native_id = str(detection.get("id") or "")
    changeable = json.dumps([detection.get(name) for name in _VERSION], sort_keys=True).encode()
    version = sha256(changeable if native_id else raw).hexdigest()[:16]
    times = {CREATED: instant(detection.get(CREATED))}
    return RawRecord(raw, f"{native_id}:{version}", native_id, VENDOR), times


class Detections:
    """Reads and writes the alerts of an instance."""

    def __init__(self, chronicle: Chronicle, context: Context) -> None:
        self._chronicle = chronicle
        self._clock = context.clock
        self._state = "ALERTING" if context.settings.flag("alerting_only", default=True) else None
        rules = context.settings.text("curated_rules").replace(",", " ").split()
        strange = [rule for rule in rules if not _CURATED.fullmatch(rule)]
        if strange:
            message = f"{strange[0]!r} is no id of a curated rule; write ids like ur_0000, separated by commas"
            raise ConfigError([Problem(context.instance, "curated_rules", message)])
        curated = [_Source("legacySearchCuratedDetections", rule, "curatedDetections") for rule in dict.fromkeys(rules)]
        self._sources = [_Source("legacySearchDetections", "-", "detections"), *curated]

    def end_of(self, since: int, overlap: timedelta) -> int | None:
        """Where the window that begins at this nanosecond ends; None when it reaches into the present.

        Pages come newest first, so only a window that was read to its end says that nothing older is left: a long time
        is read in several. An ended one lies so far back that what appears late in it is read again with the next.
        """
        skew = timedelta(seconds=self._chronicle.clock_skew or 0.0)
        settled = int((self._clock() + skew - overlap).timestamp()) * SECOND
        end = since + _WINDOW // timedelta(seconds=1) * SECOND
        return end if end <= settled else None

    async def pages(self, since: int, until: int | None, size: int) -> AsyncIterator[Page]:
        """Every page of the window, of all sources."""
        for source in self._sources:
            token, asked, width = "", set[str](), size
            while True:
                answer = await self._search(source, since, until, width, token)
                if answer.truncated and width > 1:
                    # What did not fit is behind no token; fewer at once fit.
                    width = max(1, width // 2)
                    continue
                failures = [_unreadable(answer)] if answer.truncated else []
                last = not answer.token and source is self._sources[-1]
                yield Page(answer.elements, failures, last)
                if not answer.token:
                    break
                if answer.token in asked:
                    raise ResponseError("a page token repeats", vendor=VENDOR, operation="pull detections")
                asked.add(answer.token)
                token = answer.token

    async def probe(self, since: int) -> None:
        """The newest detection of each source, if there is one, as a page and alone. Raises VendorError."""
        for source in self._sources:
            for item, raw in (await self._search(source, since, None, 1, "")).elements:
                if isinstance(item, dict):
                    await self.read(record_of(item, raw)[0].native_id)

    async def read(self, native_id: str) -> tuple[dict[str, Any], bytes]:
        """One detection, decoded and verbatim. Raises NotFoundError."""
        operation = "read alert"
        if not native_id:
            raise RejectedError("no alert is named", vendor=VENDOR, operation=operation)
        response = await self._chronicle.ask(
            "GET",
            "/legacy:legacyGetAlert",
            family=ALERTS,
            operation=operation,
            permission="chronicle.legacies.legacyGetAlert",
            params={"alertId": native_id, "includeDetections": "true"},
        )
        alert = document(response, operation).get("alert")
        if not isinstance(alert, dict) or not alert:
            message = f"there is no alert {native_id}, or a data access scope hides it"
            raise NotFoundError(message, vendor=VENDOR, operation=operation)
        return alert, _verbatim(response.content, alert)

    async def update(self, native_id: str, feedback: Mapping[str, Any]) -> None:
        """Gives feedback: what it does not name stays as it is."""
        await self._chronicle.ask(
            "POST",
            "/legacy:legacyUpdateAlert",
            family=ALERTS,
            operation="update alert",
            permission=_UPDATE,
            json={"alertId": native_id, "feedback": dict(feedback)},
        )

    async def _search(self, source: _Source, since: int, until: int | None, size: int, token: str) -> _Answer:
        operation = "pull detections"
        asked = {
            "ruleId": source.rule,
            "alertState": self._state,
            "listBasis": "CREATED_TIME",
            "startTime": iso(since, _DIGITS),
            "endTime": None if until is None else iso(until, _DIGITS),
            "pageSize": size,
            "pageToken": token or None,
            "maxRespSizeBytes": _MOST_BYTES,
        }
        try:
            response = await self._chronicle.ask(
                "GET",
                f"/legacy:{source.method}",
                family=ALERTS,
                operation=operation,
                permission=source.permission,
                params=asked,
            )
        except RejectedError as error:
            if not token or error.status != _BAD:
                raise
            raise CursorExpiredError(
                "the page token is no longer accepted; restart from the stored time",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
            ) from error
        body = document(response, operation)
        if body and source.key not in body and not _KNOWN & body.keys():
            # An empty object is a quiet window; anything else without detections is not what was asked for.
            raise broken(f"the answer holds no {source.key}", operation, response)
        try:
            elements = cut(response.content, source.key)
        except ValueError as error:
            raise broken(f"the page holds no list of detections: {error}", operation, response) from error
        truncated = body.get("respTooLargeDetectionsTruncated") is True
        return _Answer(elements, str(body.get("nextPageToken") or ""), truncated, response.content)


def _unreadable(answer: _Answer) -> Failure:
    """A detection too large for an answer of its own: kept as what came of it, never passed over in silence."""
    message = "one detection is larger than an answer of Google may be, and came cut; look at it in SecOps"
    error = ResponseError(message, vendor=VENDOR, operation="pull detections")
    return Failure(answer.body, sha256(answer.body).hexdigest(), error)


def _verbatim(body: bytes, alert: Mapping[str, Any]) -> bytes:
    """The alert as it was written; written anew where something stands before it in its envelope."""
    begin = _ALERT.match(body)
    if begin is None:
        return json.dumps(alert, ensure_ascii=False).encode()
    text = body[begin.end() :].decode()
    return text[: json.JSONDecoder().raw_decode(text)[1]].encode()

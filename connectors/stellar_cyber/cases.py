"""Cases of one platform or one tenant of it: pages in order of change, one by its id, changes, comments."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.stellar_cyber.client import EDIT, VENDOR, VIEW, Platform, broken, document
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnavailableError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.verbatim import cut

__all__ = ["CHANGED", "MOST_PAGE", "Cases", "Elements", "record_of"]

CHANGED = "modified_at"
MOST_PAGE = 499
"""Cases a page: the API gives 500 at most, and a page among cases of one instant asks for one more."""

Elements = Sequence[tuple[Any, bytes]]

_MILLISECOND = 1_000_000  # nanoseconds
_RESTARTS = 5
_decode = json.JSONDecoder().raw_decode


def record_of(case: Mapping[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """The record and when the sweep meets it. Its version is the time of the change; without one the content."""
    name, moment = str(case.get("_id") or ""), instant(case.get(CHANGED), "ms")
    version = sha256(raw).hexdigest() if moment is None or not name else str(moment // _MILLISECOND)
    return RawRecord(raw, f"{name}:{version}", name, VENDOR), {CHANGED: moment}


class Cases:
    """``tenant`` is the cust_id whose cases are meant; empty for all that the user may see."""

    def __init__(self, platform: Platform, tenant: str) -> None:
        self._platform = platform
        self._tenant = tenant

    def ours(self, elements: Elements) -> list[tuple[Any, bytes]]:
        """Without other tenants' cases: the parameter's name differs by endpoint, and a strange one is ignored."""
        return [(case, raw) for case, raw in elements if not isinstance(case, dict) or self._is_ours(case)]

    async def drain(self, since: int, size: int) -> AsyncGenerator[tuple[Elements, bool], None]:
        """Pages of cases changed from that nanosecond on, oldest change first, and whether more follow.

        Each page asks from the last change of the one before, so a case that changes meanwhile moves nobody out of
        reach. Only cases of one instant are skipped over: there the last case of the page before must come first again.
        """
        begin, skip, anchor, restarts = since // _MILLISECOND, 0, "", 0
        while True:
            page, more = await self._page(begin, max(skip - 1, 0), size + bool(skip))
            if skip and (not page or _name(page[0]) != anchor):
                restarts += 1
                if restarts > _RESTARTS:
                    raise UnavailableError(
                        f"cases of one instant moved during {restarts} reads of them; the next poll tries again",
                        vendor=VENDOR,
                        operation="pull cases",
                    )
                skip, anchor = 0, ""
                continue
            more = more and len(page) > bool(skip)
            yield page, more
            if not more:
                return
            last = _changed(page[-1][0])
            if last is not None and last > begin:
                begin, skip, anchor = last, 0, ""
            else:
                skip += len(page) - bool(skip)
                anchor = _name(page[-1])

    async def probe(self) -> None:
        """What a pull does, for one case. Raises VendorError."""
        await self._page(0, 0, 1)

    async def read(self, native_id: str) -> tuple[dict[str, Any], bytes]:
        """One case, decoded and verbatim. Raises NotFoundError, also for another tenant's."""
        operation = "read case"
        response = await self._platform.ask("GET", _path(native_id, operation), operation=operation, permission=VIEW)
        case = document(response, operation).get("data")
        if not isinstance(case, dict) or case.get("_id") != native_id:
            raise broken(f"the answer does not hold case {native_id}", operation, response)
        if not self._is_ours(case):
            message = f"case {native_id} is of another tenant than tenant_id names"
            raise NotFoundError(message, vendor=VENDOR, operation=operation)
        return case, _member(response.content, "data")

    async def change(self, native_id: str, body: Mapping[str, Any]) -> None:
        """Asks for the change; whether it happened is for a read to say."""
        operation = "update case"
        path = _path(native_id, operation)
        await self._platform.ask("PUT", path, operation=operation, permission=EDIT, json=body)

    async def says(self, native_id: str, text: str) -> bool:
        """Whether a comment of the case holds that text."""
        operation = "read comments"
        path = f"{_path(native_id, operation)}/comments"
        response = await self._platform.ask("GET", path, operation=operation, permission=VIEW)
        said = document(response, operation).get("data")
        if not isinstance(said, list):
            raise broken("the answer holds no list of comments", operation, response)
        return any(isinstance(one, dict) and text in str(one.get("comment") or "") for one in said)

    async def say(self, native_id: str, text: str) -> None:
        """Adds a comment."""
        operation = "comment"
        path = f"{_path(native_id, operation)}/comments"
        await self._platform.ask("POST", path, operation=operation, permission=EDIT, json={"comment": text})

    async def _page(self, begin: int, skip: int, size: int) -> tuple[list[tuple[Any, bytes]], bool]:
        """Cases from that millisecond on, which counts, and whether the vendor has more."""
        operation = "pull cases"
        params = {
            f"FROM~{CHANGED}": begin,
            "sort": CHANGED,
            "order": "asc",
            "limit": size,
            "skip": skip or None,
            "tenant_id": self._tenant or None,
        }
        try:
            response = await self._platform.ask("GET", "/cases", operation=operation, permission=VIEW, params=params)
        except NotFoundError as error:
            raise NotFoundError(
                "there is no API of cases at base_url; check it, and that the platform is of release 4.3.7 or newer",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
            ) from error
        data = document(response, operation).get("data")
        try:
            page = cut(response.content, "data", "cases")
        except ValueError as error:
            raise broken(f"the page holds no list of cases: {error}", operation, response) from error
        if not isinstance(data, dict) or "cases" not in data:
            raise broken("the answer has no data.cases", operation, response)
        total = data.get("total")
        # A platform that gives fewer than were asked for shows it by the total.
        return page, len(page) >= size or (isinstance(total, int) and skip + len(page) < total)

    def _is_ours(self, case: Mapping[str, Any]) -> bool:
        return self._tenant in {"", str(case.get("cust_id") or "")}


def _changed(case: Any) -> int | None:
    moment = instant(case.get(CHANGED), "ms") if isinstance(case, dict) else None
    return None if moment is None else moment // _MILLISECOND


def _name(element: tuple[Any, bytes]) -> str:
    case, raw = element
    return str((case.get("_id") if isinstance(case, dict) else "") or sha256(raw).hexdigest())


def _path(native_id: str, operation: str) -> str:
    if not native_id.strip():
        raise RejectedError("no case is named", vendor=VENDOR, operation=operation)
    return f"/cases/{quote(native_id, safe='')}"


def _member(body: bytes, wanted: str) -> bytes:
    """A member of the object as it is written there; the body is known to be one that has it."""
    text, found = body.decode(), ""
    at = text.index("{") + 1
    while (at := _past(text, at, " \t\r\n,")) < len(text) and text[at] != "}":
        key, at = _decode(text, at)
        begin = _past(text, at, " \t\r\n:")
        at = _decode(text, begin)[1]
        found = text[begin:at] if key == wanted else found
    return found.encode()


def _past(text: str, at: int, letters: str) -> int:
    while at < len(text) and text[at] in letters:
        at += 1
    return at

"""Indicators of a bound source, polled into an index of the tenant's own: nobody learns what is looked up in it.

The index lies in the tenant's rows of the table ``enrichment``: ``=HASH`` what is said of one entity, ``~ID`` what is
more than values, ``@ID`` each indicator's newest version with where it went, so that a new version or a revocation
takes the old one away. A page of objects and the cursor behind it are one transaction.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from sqlalchemy import Connection

from nightdesk.autonomy.sharing import TLP, strictest
from nightdesk.hub.enrichment.config import IndicatorsConfig
from nightdesk.hub.enrichment.patterns import Aside, Network, Pattern, Values, compiled, plan
from nightdesk.hub.store import Store, intake
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.errors import CursorExpiredError, UnsupportedError
from nightdesk.sdk.manifest import Manifest
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Pulls
from nightdesk.sdk.records import Batch
from nightdesk.stix.scope import TLP as MARKINGS

__all__ = ["FOR_EVER", "POLLED", "Indexer", "address_of", "hit_of"]

FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)
POLLED = "#polled"
"""The row that says when the index was last brought up to date."""
_PAGE = 500
_HITS = 50  # indicators that are kept of one entity
_TEXT = 120
_OLD_MARKINGS = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
}
"""TLP 1.0 as STIX 2.1 part 7.2.1.4 has it."""
_MARKS = {**{ref: name for name, ref in MARKINGS.items()}, **_OLD_MARKINGS}


def address_of(key: str) -> str:
    """Where what is said of an entity stands; a hash, because a URL may be longer than an index takes."""
    return f"={hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


class Indexer:
    """Brings one index up to date. ``aside`` says how many patterns are set aside, and why the newest was."""

    def __init__(
        self, tenant: str, source: str, config: IndicatorsConfig, manifest: Manifest,
        connector: Callable[[], Any], store: Store, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self.aside: dict[str, str] = {}
        self._tenant = tenant
        self._source = source
        self._config = config
        self._stream = next(name for name, one in manifest.intel.items() if one.product == "stix")
        self._connector = connector
        self._store = store
        self._clock = clock

    @property
    def every(self) -> timedelta:
        """Time between two polls."""
        return timedelta(seconds=self._config.poll_seconds)

    def is_new(self) -> bool:
        """Whether the index was never read."""
        with self._store.read() as conn:
            return not rows.kept(conn, self._tenant, self._source, [POLLED])

    async def poll(self) -> int:
        """Reads what is new to its end; returns how many indicators changed. Raises NightdeskError."""
        connector = self._connector()
        if not isinstance(connector, Pulls):
            raise UnsupportedError(f"{self._config.connector}: its manifest brings indicators, and it cannot pull")
        cursor_of = f"enrichment:{self._source}:{self._stream}"
        with self._store.read() as conn:
            cursor = intake.cursor(conn, self._tenant, self._config.connector, cursor_of)
        changed = 0
        try:
            async for batch in connector.pull(self._stream, cursor, limit=_PAGE):
                changed += await asyncio.to_thread(self._take, batch, cursor_of)
        except CursorExpiredError:
            with self._store.begin() as conn:
                intake.reset_cursor(conn, self._tenant, self._config.connector, cursor_of)
            raise
        await asyncio.to_thread(self._store.transact, self._polled)
        return changed

    def _polled(self, conn: Connection) -> None:
        now = self._clock()
        rows.put(conn, self._tenant, [rows.Row(self._source, POLLED, "ok", now, FOR_EVER, {})])

    def _take(self, batch: Batch, cursor_of: str) -> int:
        found = [made for record in batch.records if (made := _read(record.payload)) is not None]
        plans = {one["id"]: (one, self._plan(one)) for one in found}

        def work(conn: Connection) -> int:
            changed = self._apply(conn, plans)
            if batch.cursor is not None:
                intake.move_cursor(conn, self._tenant, self._config.connector, cursor_of, batch.cursor, self._clock())
            return changed

        return self._store.transact(work)

    def _plan(self, indicator: Mapping[str, Any]) -> Values | Network | Pattern | Aside:
        if indicator["revoked"]:
            return Aside("")
        if indicator["confidence"] is not None and indicator["confidence"] < self._config.confidence_at_least:
            return Aside(f"its confidence {indicator['confidence']} is below {self._config.confidence_at_least}")
        if indicator["pattern_type"] != "stix":
            return Aside(f"a pattern of type {indicator['pattern_type']!r} is not for one entity")
        found = plan(indicator["pattern"])
        bare = isinstance(found, Pattern) or (isinstance(found, Values) and found.verify)
        if bare and compiled(indicator["pattern"]) is None:
            return Aside("it is more than one value, which takes the extra: pip install 'nightdesk[intel]'")
        return found

    def _apply(self, conn: Connection, plans: Mapping[str, tuple[Mapping[str, Any], Any]]) -> int:
        tenant, source = self._tenant, self._source
        known = rows.kept(conn, tenant, source, [f"@{name}" for name in plans])
        wanted = {
            name: pair
            for name, pair in plans.items()
            if f"@{name}" not in known or known[f"@{name}"].body["modified"] < pair[0]["modified"]
        }
        old = {name: known[f"@{name}"].body["at"] for name in wanted if f"@{name}" in known}
        new = {name: _places(name, found) for name, (_, found) in wanted.items()}
        touched = {place for listed in (*old.values(), *new.values()) for place in listed if place.startswith("=")}
        hits = {key: dict(row.body["hits"]) for key, row in rows.kept(conn, tenant, source, touched).items()}
        gone = [place for name in wanted for place in old.get(name, ()) if place.startswith("~")]
        for name in wanted:
            for place in old.get(name, ()):
                hits.get(place, {}).pop(name, None)
        written: list[rows.Row] = []
        now = self._clock()
        for name, (indicator, found) in wanted.items():
            said = hit_of(indicator, self._config.connector)
            self.aside.pop(name, None)
            if isinstance(found, Aside) and found.reason:
                self.aside[name] = found.reason
            for place in new[name]:
                if place.startswith("="):
                    at = hits.setdefault(place, {})
                    if len(at) < _HITS:
                        at[name] = {**said, "pattern": indicator["pattern"] if found.verify else ""}
                else:
                    body = {**said, "pattern": indicator["pattern"], "kinds": list(getattr(found, "kinds", ())),
                            "network": getattr(found, "network", "")}  # fmt: skip
                    written.append(rows.Row(source, place, "ok", now, FOR_EVER, body))
            aside = found.reason if isinstance(found, Aside) else ""
            meta = {"modified": indicator["modified"], "at": list(new[name]), "aside": aside}
            written.append(rows.Row(source, f"@{name}", "set-aside" if aside else "ok", now, FOR_EVER, meta))
        empty = [place for place, at in hits.items() if not at]
        written += [rows.Row(source, place, "ok", now, FOR_EVER, {"hits": at}) for place, at in hits.items() if at]
        rows.forget(conn, tenant, source, [*(set(gone) - {row.key for row in written}), *empty])
        rows.put(conn, tenant, written)
        return len(wanted)


def _places(name: str, found: Values | Network | Pattern | Aside) -> tuple[str, ...]:
    if isinstance(found, Values):
        return tuple(dict.fromkeys(map(address_of, found.keys)))
    return () if isinstance(found, Aside) else (f"~{name}",)


def hit_of(indicator: Mapping[str, Any], by: str) -> dict[str, Any]:
    """What an indicator says of what it means, as JSON values."""
    kinds = indicator["types"]
    verdict: Literal["malicious", "suspicious", "benign"] = "malicious"
    if "benign" in kinds and not {"malicious-activity", "compromised", "attribution"} & set(kinds):
        verdict = "benign"
    elif kinds and set(kinds) <= {"anomalous-activity", "anonymization", "unknown"}:
        verdict = "suspicious"
    return {
        "verdict": verdict,
        "by": by,
        "name": indicator["name"],
        "modified": indicator["modified"],
        "from": indicator["valid_from"],
        "until": indicator["valid_until"],
        "confidence": indicator["confidence"],
        "tlp": indicator["tlp"],
    }


def _read(payload: bytes) -> dict[str, Any] | None:
    """An object of the feed, if it is an indicator that can be told by its id and version."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or found.get("type") != "indicator":
        return None
    name, modified = found.get("id"), _time(found.get("modified"))
    if not isinstance(name, str) or modified is None:
        return None
    marks = found.get("object_marking_refs")
    tlps = [_MARKS[mark] for mark in marks if mark in _MARKS] if isinstance(marks, list) else []
    kinds = found.get("indicator_types")
    confidence = found.get("confidence")
    return {
        "id": name,
        "modified": modified,
        "revoked": found.get("revoked") is True,
        "pattern": str(found.get("pattern") or ""),
        "pattern_type": str(found.get("pattern_type") or ""),
        "valid_from": _time(found.get("valid_from")),
        "valid_until": _time(found.get("valid_until")),
        "name": str(found.get("name") or "")[:_TEXT],
        "confidence": confidence if isinstance(confidence, int) and 0 <= confidence <= 100 else None,
        "tlp": strictest(TLP, *tlps) if tlps else "",
        "types": [str(kind) for kind in kinds] if isinstance(kinds, list) else [],
    }


def _time(value: Any) -> str | None:
    found = instant(value)
    if found is None:
        return None
    return datetime.fromtimestamp(found // SECOND, UTC).replace(microsecond=found % SECOND // 1000).isoformat()

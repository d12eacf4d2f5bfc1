"""What an offense only points at: addresses, rule names, closing reasons and types of its own, put in their place.

The record that leaves here has addresses and names where the console writes ids, as the mapping reads them, and under
``documents`` the offense and each looked-up row as the console wrote it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.ibm_qradar.client import OFFENSES, RULES, Console
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ScopeError
from nightdesk.sdk.records import RawRecord

__all__ = ["Lookups"]

_CHUNK = 100  # ids in one filter
_MOST = 200  # addresses of one offense that are looked up; a flood has thousands
_KEPT = timedelta(hours=1)
_FULL = 20_000  # rows kept
_STANDARD_TYPES = 20  # the highest offense type that every console has; those of custom properties are higher


@dataclass(frozen=True, slots=True)
class _Table:
    """A list of the console: where it is, which of its fields are asked for, which one is the name."""

    path: str
    name: str
    fields: str
    capability: str = OFFENSES
    params: Mapping[str, str] = field(default_factory=dict)


_TABLES: Mapping[str, _Table] = {
    "source_addresses": _Table("/siem/source_addresses", "source_ip", "id,source_ip,network"),
    "local_destination_addresses": _Table(
        "/siem/local_destination_addresses", "local_destination_ip", "id,local_destination_ip,network"
    ),
    "rules": _Table("/analytics/rules", "name", "id,name,type,origin", RULES),
    "closing_reasons": _Table(
        "/siem/offense_closing_reasons",
        "text",
        "id,text,is_deleted,is_reserved",
        params={"include_reserved": "true", "include_deleted": "true"},
    ),
    "offense_types": _Table("/siem/offense_types", "name", "id,name"),
}
_LISTS = {"source_address_ids": "source_addresses", "local_destination_address_ids": "local_destination_addresses"}
_Row = tuple[str, bytes]


class Lookups:
    """Rows by table and id, kept for an hour; an id without a row is remembered too."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._rows: dict[tuple[str, int], _Row | None] = {}
        self._since: datetime = clock()
        self.problem = ""
        """Why rule names are missing; empty while they are not."""

    async def whole(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """The records with what they point at; what the console no longer knows stays an id."""
        if self._clock() - self._since > _KEPT or len(self._rows) > _FULL:
            self._rows.clear()
            self._since = self._clock()
        offenses = [json.loads(record.payload) for record in records]
        wanted: dict[str, dict[int, None]] = {name: {} for name in _TABLES}
        for offense in offenses:
            for table, number in _pointers(offense):
                wanted[table][number] = None
        for table, numbers in wanted.items():
            await self._learn(table, [number for number in numbers if (table, number) not in self._rows])
        return [self._composed(record, offense) for record, offense in zip(records, offenses, strict=True)]

    async def _learn(self, name: str, numbers: Sequence[int]) -> None:
        table = _TABLES[name]
        for begin in range(0, len(numbers), _CHUNK):
            chunk = numbers[begin : begin + _CHUNK]
            params = {**table.params, "filter": f"id in ({','.join(map(str, chunk))})", "fields": table.fields}
            try:
                found, _ = await self._console.rows(
                    table.path,
                    operation=f"look up {name.replace('_', ' ')}",
                    capability=table.capability,
                    size=len(chunk),
                    params=params,
                )
            except ScopeError as error:
                if table.capability != RULES:
                    raise
                # A rule has its number without it; an alert is worth more than its rule's name.
                self.problem, found = f"rules come without their names: {error}", []
            else:
                self.problem = "" if name == "rules" else self.problem
            rows = {item["id"]: (str(item.get(table.name) or ""), raw) for item, raw in found if _is_row(item)}
            self._rows.update({(name, number): rows.get(number) for number in chunk})

    def _composed(self, record: RawRecord, offense: dict[str, Any]) -> RawRecord:
        documents: dict[str, dict[int, bytes]] = {}

        def named(table: str, number: Any) -> Any:
            row = self._rows.get((table, number)) if _is_number(number) else None
            if row is None or not row[0]:
                return number
            documents.setdefault(table, {})[number] = row[1]
            return row[0]

        resolved = dict(offense)
        for place, table in _LISTS.items():
            if isinstance(offense.get(place), list):
                resolved[place] = [named(table, number) for number in offense[place]]
        if isinstance(offense.get("rules"), list):
            resolved["rules"] = [_with_name(rule, named) for rule in offense["rules"]]
        for place, table in (("closing_reason_id", "closing_reasons"), ("offense_type", "offense_types")):
            if offense.get(place) is not None:
                resolved[place] = named(table, offense[place])
        if not documents:
            return record
        parts = [b'"offense":' + record.payload.strip()]
        parts += [f'"{table}":['.encode() + b",".join(rows.values()) + b"]" for table, rows in documents.items()]
        head = json.dumps(resolved).encode()[:-1]
        return replace(record, payload=head + b',"documents":{' + b",".join(parts) + b"}}")


def _pointers(offense: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    """Every table and id that an offense points at."""
    for place, table in _LISTS.items():
        numbers = offense.get(place)
        for number in (numbers if isinstance(numbers, list) else [])[:_MOST]:
            if _is_number(number):
                yield table, number
    rules = offense.get("rules")
    for rule in rules if isinstance(rules, list) else []:
        if _is_custom(rule):
            yield "rules", rule["id"]
    if _is_number(offense.get("closing_reason_id")):
        yield "closing_reasons", offense["closing_reason_id"]
    if _is_number(offense.get("offense_type")) and offense["offense_type"] > _STANDARD_TYPES:
        yield "offense_types", offense["offense_type"]


def _with_name(rule: Any, named: Any) -> Any:
    if not _is_custom(rule):
        return rule
    name = named("rules", rule["id"])
    return {**rule, "name": name} if isinstance(name, str) else rule


def _is_custom(rule: Any) -> bool:
    """Building blocks and anomaly rules have lists of their own, with numbers of their own."""
    return isinstance(rule, dict) and rule.get("type") == "CRE_RULE" and _is_number(rule.get("id"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_row(item: Any) -> bool:
    return isinstance(item, dict) and _is_number(item.get("id"))

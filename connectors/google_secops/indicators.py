"""Indicators as rows of one data table, which the customer's rules read: published under our source, and taken out."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.google_secops.client import TABLES, VENDOR, Chronicle, broken, document
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    NotFoundError,
    Problem,
    RejectedError,
    ResponseError,
    UnsupportedError,
)
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Indicators"]

_PARAMETERS = ("name", "description", "valid_until", "confidence", "tlp")
_NEEDED = ("value", "source")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
_TLP = ("clear", "green", "amber", "amber+strict", "red")
_MOST = 100  # per cent
_PAGE = 1000
_RIGHT = "chronicle.dataTableRows"
_ENDLESS = "valid_until: the row says it and does not end by itself; withdraw the indicator then"


class Indicators:
    """Publishes and withdraws; rows of another source are neither counted nor touched."""

    def __init__(self, chronicle: Chronicle, context: Context) -> None:
        self._chronicle = chronicle
        self._source = f"nightdesk:{context.tenant}"
        self._table = context.settings.text("indicator_table")
        if self._table and not _NAME.fullmatch(self._table):
            message = "write the table's name: a letter, then letters, digits and underscores"
            raise ConfigError([Problem(context.instance, "indicator_table", message)])

    @property
    def configured(self) -> bool:
        """Whether a table is named."""
        return bool(self._table)

    async def publish(self, command: Command) -> Receipt:
        """Makes the row unless ours stands already."""
        command.only(*_PARAMETERS)
        said = _said(command)
        columns = await self.columns()
        there = await self._find(command, columns)
        if there:
            ours = command.began_otherwise("published", wanted=True)
            left = () if ours else tuple(f"{name}: the indicator stood already, and is left as it is"
                                         for name in command.parameters)  # fmt: skip
            return Receipt(_id(there[0]), changed=ours, losses=left, evidence={"row": there[0]})
        given = {"value": _about(command)[1], "type": _about(command)[0], "source": self._source, **said}
        operation = "publish indicator"
        response = await self._chronicle.ask(
            "POST",
            f"{self._path}:bulkCreate",
            family=TABLES,
            operation=operation,
            permission=f"{_RIGHT}.bulkCreate",
            json={"requests": [{"dataTableRow": {"values": [given.get(name, "") for name in columns]}}]},
        )
        made = document(response, operation).get("dataTableRows")
        row = made[0] if isinstance(made, list) and made and isinstance(made[0], dict) else {}
        lost = [
            f"{name}: the table {self._table} has no such column" for name in command.parameters if name not in columns
        ]
        if "valid_until" in columns and "valid_until" in said:
            lost.append(_ENDLESS)
        return Receipt(_id(row), losses=tuple(lost), evidence={"row": row})

    async def withdraw(self, command: Command) -> Receipt:
        """Deletes our rows of it by their ids; none is what was wanted."""
        command.only()
        rows = await self._find(command, await self.columns())
        if not rows:
            return Receipt(changed=command.began_otherwise("published", wanted=False))
        for row in rows:
            await self._delete(_id(row))
        return Receipt(_id(rows[0]), evidence={"rows": list(rows)})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether our row is in the table."""
        rows = await self._find(command, await self.columns())
        wanted = command.verb == "indicator.publish"
        effect = Effect.IN_EFFECT if bool(rows) is wanted else Effect.NOT_IN_EFFECT
        state = {"published": bool(rows), "row": _id(rows[0]) if rows else ""}
        return effect, state, "published" if rows else "absent"

    async def columns(self) -> list[str]:
        """The table's columns in their order. Raises RejectedError for one that cannot hold our indicators."""
        if not self._table:
            raise RejectedError("no data table is named for indicators; set indicator_table", vendor=VENDOR)
        operation = "read data table"
        try:
            response = await self._chronicle.ask(
                "GET",
                f"/dataTables/{self._table}",
                family=TABLES,
                operation=operation,
                permission="chronicle.dataTables.get",
            )
        except NotFoundError as error:
            message = f"there is no data table {self._table}; make it as README.md says, or correct indicator_table"
            raise NotFoundError(message, vendor=VENDOR, operation=operation, status=error.status) from error
        found = document(response, operation).get("columnInfo")
        columns = [column for column in found if isinstance(column, dict)] if isinstance(found, list) else []
        # JSON leaves a zero out, so the first column may have no index.
        columns.sort(key=lambda column: int(column.get("columnIndex") or 0))
        names = [str(column.get("originalColumn") or "") for column in columns]
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            message = f"the data table {self._table} has no column {' and no column '.join(missing)}; add it"
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        return names

    @property
    def _path(self) -> str:
        return f"/dataTables/{self._table}/dataTableRows"

    async def _delete(self, row_id: str) -> None:
        with suppress(NotFoundError):  # an earlier try whose answer was lost, or somebody else, was quicker
            await self._chronicle.ask(
                "DELETE",
                f"{self._path}/{quote(row_id, safe='')}",
                family=TABLES,
                operation="withdraw indicator",
                permission=f"{_RIGHT}.delete",
            )

    async def _find(self, command: Command, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Our rows of it. The filter fits parts of values in any case: each row is held against what is meant."""
        kind, value = _about(command)
        operation, token = "find indicator", ""
        meant = {"value": value, "source": self._source, **({"type": kind} if "type" in columns else {})}
        rows: list[dict[str, Any]] = []
        asked: set[str] = set()
        while True:
            response = await self._chronicle.ask(
                "GET",
                self._path,
                family=TABLES,
                operation=operation,
                permission=f"{_RIGHT}.list",
                params={"filter": value, "pageSize": _PAGE, "pageToken": token or None},
            )
            body = document(response, operation)
            found = body.get("dataTableRows") or []
            if not isinstance(found, list):
                raise broken("the answer holds no list of rows", operation, response)
            rows += [row for row in found if isinstance(row, dict) and _id(row) and _is(row, columns, meant)]
            token = str(body.get("nextPageToken") or "")
            if not token:
                return rows
            if token in asked:
                raise ResponseError("a page token repeats", vendor=VENDOR, operation=operation)
            asked.add(token)


def _is(row: Mapping[str, Any], columns: Sequence[str], meant: Mapping[str, str]) -> bool:
    values = row.get("values")
    said = dict(zip(columns, values, strict=False)) if isinstance(values, list) else {}
    return all(said.get(name) == value for name, value in meant.items())


def _id(row: Mapping[str, Any]) -> str:
    return str(row.get("name") or "").rpartition("/")[2]


def _said(command: Command) -> dict[str, str]:
    """What the command says of the indicator, as texts. Raises RejectedError for a parameter that means nothing."""
    said = command.parameters
    description = (str(said.get("description") or command.reason), command.case_id, marker(command))
    texts = {"name": str(said.get("name") or "nightdesk"), "description": " ".join(filter(None, description))}
    until, confidence, tlp = (said.get(name) for name in ("valid_until", "confidence", "tlp"))
    if until is not None:
        moment = instant(until)
        if moment is None:
            raise RejectedError(f"valid_until {until!r}: write a time like 2026-11-01T00:00:00Z")
        texts["valid_until"] = iso(moment)
    if confidence is not None:
        if isinstance(confidence, bool) or not isinstance(confidence, int) or not 0 <= confidence <= _MOST:
            raise RejectedError(f"confidence {confidence!r}: write a whole number from 0 to {_MOST}")
        texts["confidence"] = str(confidence)
    if tlp is not None:
        word = str(tlp).lower().removeprefix("tlp:")
        if word not in _TLP:
            raise RejectedError(f"tlp {tlp!r}: write one of {', '.join(_TLP)}")
        texts["tlp"] = word
    return texts


def _about(command: Command) -> tuple[str, str]:
    """The kind and the value of an indicator target, as a rule compares them."""
    about = command.target.observable
    match about.kind:
        case TargetKind.DOMAIN:
            return "domain", about.value
        case TargetKind.URL:
            return "url", about.value
        case TargetKind.ADDRESS if "/" not in about.value:
            return f"ipv{ip_network(about.value).version}", about.value
        case TargetKind.FILE:
            kind, _, value = about.value.partition(":")
            return kind, value
    raise UnsupportedError(f"{command.target.key}: the table takes single addresses, domains, URLs and file hashes")

"""Blocklists in reference sets that a firewall or a rule of the company enforces: QRadar itself blocks nothing.

In effect means that the set holds the value; who enforces it is the setting ``enforced_by``, and is not asked. A set
with a time to live lets go of an element by itself, that long after it was first or last seen.
Source: https://ibmsecuritydocs.github.io/qradar_api_20.0/20.0--reference_data-sets-name-POST.html and
20.0--reference_data-sets-name-GET.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.ibm_qradar.client import MANAGE_SETS, VENDOR, VIEW_SETS, Console, document, total_of
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, NotFoundError, Problem, RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["VERBS", "ReferenceSets"]

_PAGE = 500
_TEXT = ("ALN", "ALNIC")
_KINDS: Mapping[str, tuple[str, ...]] = {"ip": ("IP",), "domain": _TEXT, "url": _TEXT}
"""What is listed, and the element types that can hold it; its set is the setting ``<kind>_set``."""

VERBS = frozenset(f"{kind}.{word}" for kind in _KINDS for word in ("block", "unblock"))
_SPAN = re.compile(r"(\d+(?:\.\d+)?) *(year|mon|day|hour|min|sec)")
_SECONDS = {"year": 365 * 86_400, "mon": 28 * 86_400, "day": 86_400, "hour": 3600, "min": 60, "sec": 1}
"""Of a span like ``0 years 1 mons 0 days 0 hours 0 mins 0.00 secs``; a month is never longer than the real one."""
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.-")


@dataclass(frozen=True, slots=True)
class _Found:
    """A set as it is now, and whose the entry of the value is; None when the set does not hold it.

    ``first`` is true for a set whose elements go by when they were first seen; ``ends_at`` is when this one goes.
    """

    element_type: str
    source: str | None
    first: bool = False
    ends_at: str = ""


class ReferenceSets:
    """The sets that the settings name. Raises ConfigError for a set of which nobody says who enforces it."""

    def __init__(self, console: Console, context: Context) -> None:
        settings = context.settings
        self._console, self._instance = console, context.instance
        self._names = {kind: name for kind in _KINDS if (name := settings.text(f"{kind}_set"))}
        self._enforced_by = settings.text("enforced_by").strip()
        self._source = f"nightdesk:{context.tenant}"
        problems = [
            Problem(context.instance, f"{kind}_set", "may hold letters, digits, spaces and _ . - only")
            for kind, name in self._names.items()
            if set(name) - _NAME or name.strip(" .") != name
        ]
        if self._names and not self._enforced_by:
            problem = (
                "is required with a set: say which firewall or rule enforces it, for a set by itself blocks nothing"
            )
            problems.append(Problem(context.instance, "enforced_by", problem))
        if problems:
            raise ConfigError(problems)

    async def block(self, command: Command) -> Receipt:
        """Adds the value with our source, unless somebody's entry is there; ours is renewed when that is asked for."""
        name, value = self._entry(command)
        found = await self._look(command.verb, name, value)
        self._fits(command, name, found)
        if found.source is None:
            await self._put(command, name, value)
            return self._receipt(name, changed=True)
        if command.renewal and found.source == self._source and found.ends_at:
            # Seen again first: where nothing can be written, nothing is taken out either.
            await self._put(command, name, value)
            if found.first:
                await self._remove(command, name, value)
                await self._put(command, name, value)
            return self._receipt(name, changed=True)
        return self._receipt(name, changed=command.began_otherwise("listed", True))

    async def unblock(self, command: Command) -> Receipt:
        """Takes our entry away; somebody else's is left alone and is the error."""
        name, value = self._entry(command)
        found = await self._look(command.verb, name, value)
        if found.source is None:
            return self._receipt(name, changed=command.began_otherwise("listed", False))
        if found.source != self._source:
            raise RejectedError(
                f"{value} is in {name!r} by {found.source or 'an unnamed source'}, not by {self._source}; whoever"
                " listed it takes it out in QRadar",
                vendor=VENDOR,
                operation=command.verb,
            )
        await self._remove(command, name, value)
        return self._receipt(name, changed=True)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the set holds the value."""
        name, value = self._entry(command)
        found = await self._look(command.verb, name, value)
        listed = found.source is not None
        state = {"listed": listed, "set": name, "source": found.source or "", "enforced_by": self._enforced_by}
        state |= {"ends_at": found.ends_at} if found.ends_at else {}
        wanted = command.verb.endswith(".block")
        return Effect.IN_EFFECT if listed is wanted else Effect.NOT_IN_EFFECT, state, found.source or "not listed"

    async def problems(self) -> list[str]:
        """What is wrong with the sets that the settings name. Raises VendorError."""
        found = []
        for kind, name in self._names.items():
            element_type = (await self._look("check sets", name, "0.0.0.0")).element_type  # noqa: S104  # in no set
            if element_type not in _KINDS[kind]:
                found.append(_misfit(kind, name, element_type))
        return found

    def _entry(self, command: Command) -> tuple[str, str]:
        """The set and the value that a command is about."""
        command.only()
        kind, value = command.verb.partition(".")[0], command.target.value
        if kind not in self._names:
            problem = f"is required for {command.verb}: a reference set that something enforces"
            raise ConfigError([Problem(self._instance, f"{kind}_set", problem)])
        if kind == "ip" and "/" in value:
            raise UnsupportedError(f"{command.target.key}: a reference set of addresses holds single ones, no networks")
        if '"' in value or "\\" in value:
            raise UnsupportedError(
                f"{command.target.key}: a value with quotes or backslashes cannot be looked up again"
            )
        return self._names[kind], value

    async def _put(self, command: Command, name: str, value: str) -> None:
        await self._console.ask(
            "POST",
            f"/reference_data/sets/{quote(name, safe='')}",
            operation=command.verb,
            capability=MANAGE_SETS,
            params={"value": value, "source": self._source},
            repeatable=True,  # a second time it is only seen again
        )

    async def _remove(self, command: Command, name: str, value: str) -> None:
        # Encoded twice where it matters: the API decodes once more what the web server has decoded.
        once = quote(value, safe="")
        path = f"/reference_data/sets/{quote(name, safe='')}/{quote(once, safe='') if set(value) & set('/%') else once}"
        try:
            await self._console.ask("DELETE", path, operation=command.verb, capability=MANAGE_SETS)
        except NotFoundError:
            # Gone meanwhile, or by an earlier attempt whose answer was lost.
            if (await self._look(command.verb, name, value)).source is not None:
                raise

    def _fits(self, command: Command, name: str, found: _Found) -> None:
        kind = command.verb.partition(".")[0]
        if found.element_type not in _KINDS[kind]:
            raise RejectedError(_misfit(kind, name, found.element_type), vendor=VENDOR, operation=command.verb)

    async def _look(self, operation: str, name: str, value: str) -> _Found:
        """Reads the entry of a value; of a set that ignores case the whole set, for a filter may not ignore it."""
        found = await self._scan(operation, name, value, f'value = "{value}"')
        if found.source is None and found.element_type == "ALNIC":
            found = await self._scan(operation, name, value, None)
        return found

    async def _scan(self, operation: str, name: str, value: str, condition: str | None) -> _Found:
        begin = 0
        while True:
            try:
                response = await self._console.ask(
                    "GET",
                    f"/reference_data/sets/{quote(name, safe='')}",
                    operation=operation,
                    capability=VIEW_SETS,
                    params={"filter": condition},
                    span=(begin, begin + _PAGE - 1),
                )
            except NotFoundError as error:
                raise NotFoundError(
                    f"there is no reference set {name!r}; make it, and let something enforce it",
                    vendor=VENDOR,
                    operation=operation,
                    status=error.status,
                ) from error
            body = document(response, operation)
            element_type = str(body.get("element_type") or "")
            rows = [row for row in body.get("data") or () if isinstance(row, dict)]
            for row in rows:
                if _equal(str(row.get("value") or ""), value, element_type):
                    first, ends_at = _lives(body, row)
                    return _Found(element_type, str(row.get("source") or ""), first, ends_at)
            begin += len(rows)
            total = total_of(response)
            if not rows or (len(rows) < _PAGE if total is None else begin >= total):
                return _Found(element_type, None)

    def _receipt(self, name: str, *, changed: bool) -> Receipt:
        return Receipt(name, changed=changed, evidence={"set": name, "enforced_by": self._enforced_by})


def _equal(one: str, other: str, element_type: str) -> bool:
    return one.casefold() == other.casefold() if element_type in {"ALNIC", "IP"} else one == other


def _lives(body: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the set counts from when an element was first seen, and when this one goes; empty when it stays."""
    first = body.get("timeout_type") == "FIRST_SEEN"
    seen = row.get("first_seen" if first else "last_seen")
    lives = sum(float(count) * _SECONDS[unit] for count, unit in _SPAN.findall(str(body.get("time_to_live") or "")))
    if not lives or isinstance(seen, bool) or not isinstance(seen, int) or body.get("timeout_type") == "UNKNOWN":
        return first, ""
    return first, datetime.fromtimestamp(seen / 1000 + lives, UTC).isoformat()


def _misfit(kind: str, name: str, element_type: str) -> str:
    wanted = " or ".join(_KINDS[kind])
    return f"the reference set {name!r} is of type {element_type or 'unknown'}; {kind}.block needs one of type {wanted}"

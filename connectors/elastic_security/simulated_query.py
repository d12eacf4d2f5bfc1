"""The part of Elasticsearch's query language that the simulator speaks; everything else is refused, never ignored."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["Order", "Refused", "Source", "matches", "span"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MATH = re.compile(r"^now(?:-(\d+)([smhdw]))?$")

Source = Mapping[str, Any]


class Refused(Exception):  # noqa: N818  # an answer on its way, not an error of ours
    """An error answer of Elasticsearch."""

    def __init__(self, status: int, kind: str, reason: str, *, outer: str = "") -> None:
        super().__init__(reason)
        self.status, self.kind, self.reason, self.outer = status, kind, reason, outer


class Order:
    """``sort`` and ``search_after``: a date, then ``_shard_doc``."""

    def __init__(self, sort: Any, mapped: set[str], *, with_pit: bool) -> None:
        names = [next(iter(entry)) for entry in sort]
        if "_shard_doc" in names and not with_pit:
            reason = "[_shard_doc] sort field cannot be used without [point in time]"
            raise Refused(400, "action_request_validation_exception", reason)
        if (
            len(names) != 2
            or names[1] != "_shard_doc"
            or any(entry[name]["order"] != "asc" for entry, name in zip(sort, names, strict=True))
        ):
            raise Refused(400, "illegal_argument_exception", "this simulator sorts by a date and _shard_doc, ascending")
        self.field, options = names[0], sort[0][names[0]]
        if self.field not in mapped and "unmapped_type" not in options:
            raise Refused(400, "query_shard_exception", f"No mapping found for [{self.field}] in order to sort on")
        self._text = options.get("format") == "strict_date_optional_time_nanos"

    def key(self, shard: int, source: Source) -> tuple[datetime, int]:
        """Where the alert stands in the order."""
        value = source.get(self.field)
        return (_date(value) if value else datetime.max.replace(tzinfo=UTC), shard)

    def values(self, shard: int, source: Source) -> list[Any]:
        """What the hit says as ``sort``: text only in the format that was asked for, else milliseconds."""
        value = source.get(self.field)
        return [value if self._text or not value else int(_date(value).timestamp() * 1000), shard]

    def after(self, given: Any) -> tuple[datetime, int] | None:
        """Where ``search_after`` stands in the order; None from the beginning."""
        if given is None:
            return None
        if not isinstance(given, list) or len(given) != 2 or isinstance(given[0], str) != self._text:
            raise Refused(400, "illegal_argument_exception", "search_after must have the values and forms of sort")
        moment = _date(given[0]) if self._text else datetime.fromtimestamp(given[0] / 1000, UTC)
        return moment, int(given[1])


def matches(native_id: str, source: Source, query: Mapping[str, Any], now: datetime) -> bool:
    """Whether the query selects the alert. Raises Refused for what is not known."""
    kind, options = next(iter(query.items()))
    if kind == "bool":
        if set(options) - {"filter", "must", "must_not"}:
            raise Refused(400, "parsing_exception", "[bool] has a clause this simulator does not know")
        needed = [*options.get("filter", []), *options.get("must", [])]
        return all(matches(native_id, source, part, now) for part in needed) and not any(
            matches(native_id, source, part, now) for part in options.get("must_not", [])
        )
    if kind == "ids":
        return native_id in options["values"]
    if kind == "exists":
        return source.get(options["field"]) is not None
    if kind in {"term", "terms"}:
        field, wanted = next(iter(options.items()))
        value = source.get(field)
        return bool({*(value if isinstance(value, list) else [value])} & {*(wanted if kind == "terms" else [wanted])})
    if kind == "range":
        field, bounds = next(iter(options.items()))
        return _within(source.get(field), bounds, now)
    if kind == "match_all":
        return True
    raise Refused(400, "parsing_exception", f"unknown query [{kind}]")


def _within(value: Any, bounds: Mapping[str, Any], now: datetime) -> bool:
    tests = {"gte": datetime.__ge__, "gt": datetime.__gt__, "lte": datetime.__le__, "lt": datetime.__lt__}
    if set(bounds) - set(tests):
        raise Refused(400, "parsing_exception", "[range] query does not support that key")
    return value is not None and all(tests[name](_date(value), _date(bound, now)) for name, bound in bounds.items())


def _date(value: Any, now: datetime | None = None) -> datetime:
    math = _MATH.match(str(value))
    if math and now is not None:
        return now - (timedelta(**{_UNITS[math[2]]: int(math[1])}) if math[1] else timedelta(0))
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise Refused(400, "parse_exception", f"failed to parse date field [{value}]") from None


def span(text: str) -> timedelta:
    """A duration such as ``2m``. Raises Refused."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise Refused(400, "illegal_argument_exception", f"failed to parse setting [keep_alive] with value [{text}]")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})

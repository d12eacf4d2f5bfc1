"""The part of SPL that the simulator understands, parsed strictly: what it does not know is an error, as at splunkd."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Bounds", "Row", "Sources", "SplError", "Step", "parse", "run", "text_of"]

Row = dict[str, Any]
Step = Callable[[list[Row]], list[Row]]

_SORT_LIMIT = 10_000
_WORD = r"[A-Za-z_][\w.]*"
_MACRO = re.compile(r'`(?P<name>\w+)(?:\("(?P<argument>[^"`]*)"\))?`')
_EQUALS = re.compile(rf'(?P<field>{_WORD})=(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"`|()]+))')
_IN = re.compile(rf'(?P<field>{_WORD})\s+IN\s*\((?P<values>"[^"]*"(?:\s*,\s*"[^"]*")*)\)')
_DATAMODEL = re.compile(rf"datamodel ({_WORD}) ({_WORD}) flat")
_COMPARE = re.compile(rf'^(?P<field>{_WORD})(?P<op>>=|<=|=|<|>)(?:"(?P<text>[^"]*)"|(?P<number>-?\d+(?:\.\d+)?))$')
_COPY = re.compile(rf"^({_WORD})=({_WORD})$")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    "=": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
}


class SplError(Exception):
    """What splunkd answers with 400."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The job's time range: event time and index time, both half-open."""

    earliest: float = 0.0
    latest: float = float("inf")
    index_earliest: float = 0.0
    index_latest: float = float("inf")

    def hold(self, row: Row) -> bool:
        """True for an event within."""
        event, arrival = float(row["_time"]), float(row["_indextime"])
        return self.earliest <= event < self.latest and self.index_earliest <= arrival < self.index_latest


Sources = Mapping[str, Callable[[str, Bounds], Iterable[Row]]]
"""Where rows come from, by name; each is asked with its argument and the time range, which lookups do not obey."""


def parse(query: str) -> tuple[str, str, list[Step]]:
    """The source's name and argument, and the steps behind it. Raises SplError."""
    if not query.startswith(("search ", "|")):
        raise SplError(f"Unknown search command '{query.split(maxsplit=1)[0] if query.split() else ''}'.")
    segments = [segment.strip() for segment in _split(query)]
    if query.startswith("|"):
        name, argument = _generator(segments[1] if len(segments) > 1 else "")
        return name, argument, [_step(segment) for segment in segments[2:]]
    name, argument, rest = _events(segments[0].removeprefix("search").strip())
    first = [_search(rest)] if rest else []
    return name, argument, [*first, *(_step(segment) for segment in segments[1:])]


def run(query: tuple[str, str, list[Step]], sources: Sources, bounds: Bounds) -> list[Row]:
    """The rows of a parsed query."""
    name, argument, steps = query
    rows = list(sources[name](argument, bounds))
    for step in steps:
        rows = step(rows)
    return rows


def text_of(value: Any) -> str:
    """A value as ``eval`` copies it: times as epoch seconds."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _split(query: str) -> list[str]:
    """Cut at the pipes that stand outside quotes and backticks."""
    parts, quote = [""], ""
    for letter in query:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in '"`':
            quote = letter
        elif letter == "|":
            parts.append("")
            continue
        parts[-1] += letter
    if quote:
        raise SplError(f"Unbalanced quotes: {quote}.")
    return parts


def _generator(segment: str) -> tuple[str, str]:
    found = _MACRO.fullmatch(segment)
    if found and found["name"] == "incident_review":
        return "incident_review", ""
    model = _DATAMODEL.fullmatch(segment)
    if model:
        return "datamodel", f"{model[1]} {model[2]}"
    raise SplError(f"Unknown search command '{segment.split(maxsplit=1)[0] if segment else ''}'.")


def _events(segment: str) -> tuple[str, str, str]:
    """Where events come from, and the terms left over."""
    macro = _MACRO.match(segment)
    if macro:
        if macro["name"] not in {"notable", "notable_by_id"}:
            raise SplError(
                f"Error in 'SearchParser': The search specifies a macro '{macro['name']}' that cannot be found."
            )
        return macro["name"], macro["argument"] or "", segment[macro.end() :].strip()
    index = _EQUALS.match(segment)
    if index and index["field"] == "index":
        return "index", index["quoted"] or index["bare"], segment[index.end() :].strip()
    raise SplError("Error in 'search' command: name an index or a macro first.")


def _step(segment: str) -> Step:
    name, _, rest = segment.partition(" ")
    makers: Mapping[str, Callable[[str], Step]] = {
        "search": _search,
        "where": _where,
        "eval": _eval,
        "sort": _sort,
        "head": _head,
        "fields": _fields,
        "table": _table,
    }
    if name not in makers:
        raise SplError(f"Unknown search command '{name}'.")
    return makers[name](rest.strip())


def _search(rest: str) -> Step:
    wanted: list[tuple[str, set[str]]] = []
    either, rest = _alternatives(rest)
    while rest:
        found = _IN.match(rest)
        if found:
            values = {value.casefold() for value in re.findall(r'"([^"]*)"', found["values"])}
        else:
            found = _EQUALS.match(rest)
            if not found:
                raise SplError(f"Error in 'search' command: Unable to parse the search: '{rest}'.")
            values = {(found["quoted"] if found["bare"] is None else found["bare"]).casefold()}
        wanted.append((found["field"], values))
        rest = rest[found.end() :].strip()
    return lambda rows: [
        row
        for row in rows
        if all(_texts(row, name) & values for name, values in wanted)
        and (not either or any(form.fullmatch(text) for name, form in either for text in _texts(row, name)))
    ]


def _alternatives(rest: str) -> tuple[list[tuple[str, re.Pattern[str]]], str]:
    """A first group ``(a IN (…) OR b IN (…))`` and what follows; an asterisk there is anything, within quotes too."""
    either: list[tuple[str, re.Pattern[str]]] = []
    rest = f" OR {rest[1:]}" if rest.startswith("(") else rest
    while rest.startswith(" OR "):
        found = _IN.match(rest, 4)
        if not found:
            raise SplError(f"Error in 'search' command: Unable to parse the search: '{rest}'.")
        values = [one.casefold().replace("\\\\", "\\") for one in re.findall(r'"([^"]*)"', found["values"])]
        either.append((found["field"], re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in values))))
        rest = rest[found.end() :]
    return either, rest.removeprefix(")").strip() if either else rest


def _where(rest: str) -> Step:
    tests: list[tuple[str, Callable[[Any, Any], bool], str | float]] = []
    for part in rest.split(" AND "):
        found = _COMPARE.match(part.strip())
        if not found:
            raise SplError(f"Error in 'where' command: The expression is malformed: '{part}'.")
        literal = found["text"] if found["number"] is None else float(found["number"])
        tests.append((found["field"], _OPERATORS[found["op"]], literal))

    def holds(row: Row) -> bool:
        for name, compare, literal in tests:
            value = row.get(name)
            if value is None or not compare(float(value) if isinstance(literal, float) else str(value), literal):
                return False
        return True

    return lambda rows: [row for row in rows if holds(row)]


def _eval(rest: str) -> Step:
    copies = [_COPY.match(part.strip()) for part in rest.split(",")]
    if not all(copies):
        raise SplError(f"Error in 'eval' command: The expression is malformed: '{rest}'.")

    def copy(rows: list[Row]) -> list[Row]:
        for row in rows:
            for found in filter(None, copies):
                if row.get(found[2]) is not None:
                    row[found[1]] = text_of(row[found[2]])
        return rows

    return copy


def _sort(rest: str) -> Step:
    found = re.match(r"^(\d+)\s+", rest)
    limit = _SORT_LIMIT if not found else int(found[1]) or None
    names = [name.strip() for name in rest[found.end() if found else 0 :].split(",")]
    if not all(re.fullmatch(_WORD, name) for name in names):
        raise SplError(f"Error in 'sort' command: Invalid sort field in '{rest}'.")
    return lambda rows: sorted(rows, key=lambda row: [_order(row.get(name)) for name in names])[:limit]


def _head(rest: str) -> Step:
    if not rest.isdigit():
        raise SplError("Error in 'head' command: Invalid limit.")
    return lambda rows: rows[: int(rest)]


def _fields(rest: str) -> Step:
    names = {name.strip() for name in rest.split(",")}
    return lambda rows: [{name: row[name] for name in row if name in names or name.startswith("_")} for row in rows]


def _table(rest: str) -> Step:
    names = [name.strip() for name in rest.split(",")]
    return lambda rows: [{name: row[name] for name in names if name in row} for row in rows]


def _texts(row: Row, name: str) -> set[str]:
    value = row.get(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return {text_of(one).casefold() for one in values}


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers before text before nothing, as ``sort`` does by default."""
    try:
        return (0, float(value), "")
    except (TypeError, ValueError):
        return (2, 0.0, "") if value is None else (1, 0.0, text_of(value))

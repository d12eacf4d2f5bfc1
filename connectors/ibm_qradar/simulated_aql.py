"""A strict part of AQL over rows of events and flows; what it does not know is refused and never ignored.

Source: https://www.ibm.com/docs/en/SS42VS_7.5/com.ibm.qradar.doc/c_aql_introduction.html (order of clauses) and
r_aql_operators.html. Fields are case-blind; only single quotes make a string, and double ones a name.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from nightdesk.connectors.ibm_qradar.simulated_console import RefusedError
from nightdesk.connectors.ibm_qradar.simulated_rows import Query, Test, Value

__all__ = ["parsed"]

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|\"([^\"]*)\"|(\d+)|([A-Za-z_]\w*)|(!=|<=|>=|[=<>(),*]))")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FUNCTIONS = {"ASSETHOSTNAME": (1, 2), "LOGSOURCETYPENAME": (1, 1), "QIDNAME": (1, 1)}
_UNITS = {"MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": 86_400_000}
_CLAUSES = frozenset({"FROM", "WHERE", "ORDER", "LIMIT", "LAST", "START", "STOP", "AND", "OR", "NOT", "AS", "BY"})


def parsed(text: str, known: Mapping[str, frozenset[str]]) -> Query:
    """The query; ``known`` are the columns of each table. Raises RefusedError as the console does."""
    return _Parser(text, known).query()


class _Parser:
    def __init__(self, text: str, known: Mapping[str, frozenset[str]]) -> None:
        self._text, self._known, self._columns = text, known, frozenset[str]()
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._refusal(text[at : at + 20])
            kind = next(name for name, part in zip(_KINDS, found.groups(), strict=True) if part is not None)
            self._tokens.append((kind, next(part for part in found.groups() if part is not None)))
            at = found.end()
        self._at = 0

    def query(self) -> Query:
        self._need("SELECT")
        begin = self._at
        depth = 0
        while not (depth == 0 and self._peek("FROM")):  # the columns are read once the table is known
            if self._at >= len(self._tokens):
                raise self._refusal("no FROM")
            depth += {"(": 1, ")": -1}.get(self._tokens[self._at][1], 0)
            self._at += 1
        self._need("FROM")
        table = self._take("word").lower()
        if table not in self._known:
            raise self._refusal(f"no such table {table}")
        self._columns, after = self._known[table], self._at
        self._at = begin
        columns = None if self._taken("*") else self._items()
        self._need("FROM")
        self._at = after
        test = self._either() if self._taken("WHERE") else lambda _: True
        order = self._order()
        limit = int(self._take("number")) if self._taken("LIMIT") else None
        last, start, stop = self._window()
        if self._at < len(self._tokens):
            raise self._refusal(self._tokens[self._at][1])
        return Query(table, columns, test, order, limit, last, start, stop)

    def _items(self) -> list[tuple[str, Value]]:
        items = []
        while True:
            name = self._tokens[self._at][1]
            value = self._value()
            if self._taken("AS"):
                name = self._tokens[self._at][1]
                self._at += 1
            items.append((name, value))
            if not self._taken(","):
                return items

    def _order(self) -> tuple[Value, bool] | None:
        if not self._taken("ORDER"):
            return None
        self._need("BY")
        value = self._value()
        downwards = self._taken("DESC")
        if not downwards:
            self._taken("ASC")
        return value, downwards

    def _window(self) -> tuple[int | None, int | None, int | None]:
        if self._taken("LAST"):
            count, unit = int(self._take("number")), self._take("word").upper()
            if unit not in _UNITS:
                raise self._refusal(unit)
            return count * _UNITS[unit], None, None
        if not self._taken("START"):
            return None, None, None
        start = int(self._take("number"))
        return None, start, int(self._take("number")) if self._taken("STOP") else None

    def _either(self) -> Test:
        parts = [self._both()]
        while self._taken("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _both(self) -> Test:
        parts = [self._one()]
        while self._taken("AND"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _one(self) -> Test:
        if self._taken("NOT"):
            inner = self._one()
            return lambda row: not inner(row)
        if self._taken("("):
            inner = self._either()
            self._need(")")
            return inner
        if self._taken("INOFFENSE"):
            self._need("(")
            number = int(self._take("number"))
            self._need(")")
            return lambda row: row.offense == number
        return self._comparison(self._value())

    def _comparison(self, left: Value) -> Test:
        if self._taken("IN"):
            self._need("(")
            choices = [self._value()]
            while self._taken(","):
                choices.append(self._value())
            self._need(")")
            return lambda row: any(_same(left(row), one(row)) for one in choices)
        if self._taken("IMATCHES"):
            pattern = self._take("string")
            try:
                wanted = re.compile(pattern, re.IGNORECASE)
            except re.error as error:
                raise self._refusal(str(error)) from error
            return lambda row: left(row) is not None and wanted.search(str(left(row))) is not None
        sign = self._take("sign")
        if sign not in _COMPARE:
            raise self._refusal(sign)
        right = self._value()
        if sign == "=":
            return lambda row: _same(left(row), right(row))
        return lambda row: left(row) is not None and _COMPARE[sign](left(row), right(row))

    def _value(self) -> Value:
        if self._at >= len(self._tokens):
            raise self._refusal("the end")
        kind, text = self._tokens[self._at]
        self._at += 1
        match kind:
            case "string":
                return lambda _: text.replace("''", "'")
            case "number":
                return lambda _: int(text)
            case "word" if self._taken("("):
                return self._call(text.upper())
            case "word" | "name" if kind == "name" or text.upper() not in _CLAUSES:
                column = text.lower()
                if column not in self._columns:
                    raise self._refusal(f"Field '{text}' does not exist")
                return lambda row: row.columns.get(column)
        raise self._refusal(text)

    def _call(self, function: str) -> Value:
        given = [self._value()]
        while self._taken(","):
            given.append(self._value())
        self._need(")")
        fewest, most = _FUNCTIONS.get(function, (1, 0))
        if not fewest <= len(given) <= most:
            raise self._refusal(f"function {function} with {len(given)} arguments")
        return lambda row: row.names.get((function, given[0](row)))

    def _peek(self, word: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        kind, text = self._tokens[self._at]
        return kind in {"word", "sign"} and text.upper() == word

    def _taken(self, word: str) -> bool:
        if not self._peek(word):
            return False
        self._at += 1
        return True

    def _need(self, word: str) -> None:
        if not self._taken(word):
            raise self._refusal(f"{word} expected")

    def _take(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise self._refusal(f"{kind} expected")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _refusal(self, near: str) -> RefusedError:
        return RefusedError(422, 2000, f"Could not parse query '{self._text}': {near}")


_KINDS = ("string", "name", "number", "word", "sign")


def _same(left: Any, right: Any) -> bool:
    return left is not None and (left == right or (isinstance(left, int) and str(left) == right))

"""A strict part of the language of UDM searches: comparisons joined by ``and``, ``or``, ``not`` and brackets.

Source: https://cloud.google.com/chronicle/docs/investigation/udm-search-best-practices. Between two conditions without
a word ``and`` is meant. What is not understood is refused, as the API refuses a query that does not compile.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nightdesk.connectors.google_secops.wire import GoogleError, camel

__all__ = ["Holds", "condition"]

Holds = Callable[[Mapping[str, Any]], bool]
"""Whether an event fulfils a condition."""

_SPACE = re.compile(r"\s*")
_COMPARISON = re.compile(r'([a-z][a-z0-9_.]*)\s*(!?=)\s*(?:"((?:[^"\\]|\\.)*)"|/((?:[^/\\]|\\.)+)/)', re.IGNORECASE)
_WORD = re.compile(r"(and|or|not)\b", re.IGNORECASE)
_GROUPED = {"hostname": "hostname", "ip": "ip", "user": "userid", "hash": "sha256"}
"""Grouped fields stand for a field wherever it is."""
_ENUMS = frozenset({"metadata.event_type", "network.ip_protocol", "security_result.action"})
_MOST_JOINED = 169


def condition(query: str) -> Holds:
    """What the query asks for. Raises GoogleError when it does not compile."""
    return _Reader(query).all()


class _Reader:
    def __init__(self, query: str) -> None:
        self._query, self._at, self._joined = query, 0, 0

    def all(self) -> Holds:
        found = self._either()
        if self._at < len(self._query):
            raise self._refusal()
        return found

    def _either(self) -> Holds:
        parts = [self._both()]
        while self._taken("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda event: any(part(event) for part in parts)

    def _both(self) -> Holds:
        parts = [self._one()]
        while self._taken("and") or self._begins():
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda event: all(part(event) for part in parts)

    def _one(self) -> Holds:
        if self._taken("not"):
            inner = self._one()
            return lambda event: not inner(event)
        if self._letter("("):
            inner = self._either()
            if not self._letter(")"):
                raise self._refusal()
            return inner
        found = _COMPARISON.match(self._query, self._at)
        if found is None:
            raise self._refusal()
        self._at = found.end()
        return self._comparison(*found.groups())

    def _comparison(self, name: str, operator: str, text: str | None, pattern: str | None) -> Holds:
        if text is None and name in _ENUMS:
            raise GoogleError(400, f"Query does not compile: no regular expression fits the enumerated field {name}")
        plain = re.escape(re.sub(r"\\(.)", r"\1", text or ""))
        try:
            wanted = re.compile(rf"\A{plain}\Z" if text is not None else str(pattern))
        except re.error as error:
            raise GoogleError(400, f"Query does not compile: {error}") from error
        return lambda event: _holds(event, name, wanted, fits=operator == "=")

    def _taken(self, word: str) -> bool:
        self._skip()
        found = _WORD.match(self._query, self._at)
        if found is None or found[1].lower() != word:
            return False
        self._at = found.end()
        self._joined += 1
        if self._joined > _MOST_JOINED:
            raise GoogleError(400, f"Query does not compile: more than {_MOST_JOINED} logical operators")
        self._skip()
        return True

    def _letter(self, letter: str) -> bool:
        self._skip()
        if not self._query.startswith(letter, self._at):
            return False
        self._at += 1
        self._skip()
        return True

    def _begins(self) -> bool:
        """Whether another condition follows without a word between."""
        word = _WORD.match(self._query, self._at)
        if word is not None:
            return word[1].lower() == "not"
        return self._at < len(self._query) and self._query[self._at] != ")"

    def _skip(self) -> None:
        found = _SPACE.match(self._query, self._at)
        self._at = found.end() if found is not None else self._at

    def _refusal(self) -> GoogleError:
        near = self._query[self._at : self._at + 20]
        return GoogleError(400, f"Query does not compile: parsing: error near position {self._at}: {near!r}")


def _holds(event: Mapping[str, Any], name: str, wanted: re.Pattern[str], *, fits: bool) -> bool:
    path = [camel(part) for part in name.split(".")]
    values = _anywhere(event, _GROUPED[name]) if name in _GROUPED else _under(event, path)
    return any(wanted.search(str(value)) for value in values) is fits


def _under(node: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for inner in node:
            yield from _under(inner, path)
    elif not path:
        yield node
    elif isinstance(node, Mapping) and path[0] in node:
        yield from _under(node[path[0]], path[1:])


def _anywhere(node: Any, name: str) -> Iterator[Any]:
    if isinstance(node, list):
        for inner in node:
            yield from _anywhere(inner, name)
    elif isinstance(node, Mapping):
        for key, inner in node.items():
            if key == name:
                yield from _under(inner, [])
            else:
                yield from _anywhere(inner, name)

"""Conditions over variables: the comparison expressions of STIX patterning, read by a grammar of our own; never eval.

    or       = and *("OR" and)
    and      = test *("AND" test)
    test     = "(" or ")" | "EXISTS" path | path ["NOT"] operator literal | path ["NOT"] ("IN") set
    path     = __name__ ":value"
    operator = "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=" | "LIKE" | "ISSUBSET"
    literal  = 'text' | number | true | false          set = "(" literal *("," literal) ")"

What is accepted here is accepted by STIX patterning within ``[`` and ``]``, which may also stand round the whole.
Source: STIX 2.1 section 9 (patterning); CACAO 2.0 section 4.8.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from nightdesk.sdk.errors import PolicyError, UnsupportedError

__all__ = ["Comparison", "Either", "Expression", "Literal", "compare", "names_in", "read_condition", "tests_in"]

_MOST = 4096
_DEEPEST = 32
_TOKEN = re.compile(
    r"\s*(?:(?P<path>__[a-zA-Z_][a-zA-Z0-9_-]{0,199}__:value)\b"
    r"|(?P<text>'(?:[^'\\]|\\['\\])*')"
    r"|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])"
    r"|(?P<word>[A-Za-z]+)\b"
    r"|(?P<sign><=|>=|<>|!=|==|=|<|>)"
    r"|(?P<mark>[()\[\],]))"
)
_SIGNS: Mapping[str, str] = {"==": "=", "<>": "!="}
_ORDER = frozenset({"<", "<=", ">", ">="})
_WORDS = frozenset({"IN", "LIKE", "ISSUBSET"})

Literal = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One test of one variable. ``EXISTS`` has no literals, ``IN`` several, the others one."""

    name: str
    operator: str
    literals: tuple[Literal, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Either:
    """All of its parts (``every``) or any of them."""

    parts: "tuple[Expression, ...]"
    every: bool


Expression = Comparison | Either


def read_condition(text: str) -> Expression:
    """The expression. Raises UnsupportedError that says where it stops being one."""
    if len(text) > _MOST:
        raise UnsupportedError(f"a condition of {len(text)} characters; at most {_MOST} are read")
    return _Reader(text).whole()


def names_in(expression: Expression) -> frozenset[str]:
    """Every variable it asks for."""
    return frozenset(test.name for test in tests_in(expression))


def tests_in(expression: Expression) -> Iterator[Comparison]:
    """Its tests, from left to right."""
    if isinstance(expression, Comparison):
        yield expression
        return
    for part in expression.parts:
        yield from tests_in(part)


def compare(expression: Expression, values: Mapping[str, str], types: Mapping[str, str]) -> bool:
    """Whether it holds. A variable without a value only fails ``EXISTS``; asked otherwise it raises PolicyError."""
    if isinstance(expression, Either):
        each = (compare(part, values, types) for part in expression.parts)
        return all(each) if expression.every else any(each)
    value = values.get(expression.name)
    if expression.operator == "EXISTS":
        return value is not None
    if value is None:
        raise PolicyError(f"{expression.name} has no value yet: the condition cannot be decided")
    held = _holds(expression, value, types.get(expression.name, "string"))
    return held is not expression.negated


def _holds(test: Comparison, raw: str, kind: str) -> bool:
    if test.operator == "ISSUBSET":
        return _subset(raw, str(test.literals[0]))
    value: Literal = raw
    if kind in {"integer", "long"}:
        value = int(raw)
    elif kind == "float":
        value = float(raw)
    elif kind == "bool":
        value = raw.lower() == "true"
    if test.operator == "IN":
        return value in test.literals
    other = test.literals[0]
    if test.operator == "LIKE":
        return _like(str(other)).fullmatch(raw) is not None
    if test.operator in {"=", "!="}:
        return (value == other) is (test.operator == "=")
    if isinstance(value, str) or isinstance(other, str):
        raise PolicyError(f"{test.name} {test.operator} {other!r}: only numbers have an order")
    orders: Mapping[str, Callable[[float, float], bool]] = {
        "<": lambda one, two: one < two,
        "<=": lambda one, two: one <= two,
        ">": lambda one, two: one > two,
        ">=": lambda one, two: one >= two,
    }
    return orders[test.operator](value, other)


def _subset(raw: str, network: str) -> bool:
    try:
        inner, outer = ipaddress.ip_network(raw, strict=False), ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise PolicyError(f"ISSUBSET compares addresses and networks: {error}") from error
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _like(pattern: str) -> re.Pattern[str]:
    """``%`` is any text, ``_`` any one character; runs of ``%`` are one, so that matching stays cheap."""
    parts = re.split(r"(%+|_)", pattern)
    return re.compile(
        "".join(".*" if part[:1] == "%" else "." if part == "_" else re.escape(part) for part in parts), re.DOTALL
    )


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut(text))
        self._at = 0

    def whole(self) -> Expression:
        bracketed = self._take("mark", "[")
        found = self._either(0)
        if bracketed:
            self._need("mark", "]")
        if self._at < len(self._tokens):
            raise self._wrong("nothing more")
        return found

    def _cut(self, text: str) -> Iterator[tuple[str, str, int]]:
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise UnsupportedError(f"condition {text!r}: not readable at character {at + 1}")
            kind = str(found.lastgroup)
            yield kind, found[kind], found.start(kind)
            at = found.end()

    def _either(self, depth: int) -> Expression:
        if depth > _DEEPEST:
            raise UnsupportedError(f"condition {self._text!r}: nested deeper than {_DEEPEST}")
        parts = [self._all(depth)]
        while self._take("word", "OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts), every=False)

    def _all(self, depth: int) -> Expression:
        parts = [self._test(depth)]
        while self._take("word", "AND"):
            parts.append(self._test(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts), every=True)

    def _test(self, depth: int) -> Expression:
        if self._take("mark", "("):
            inner = self._either(depth + 1)
            self._need("mark", ")")
            return inner
        if self._take("word", "EXISTS"):
            return Comparison(self._path(), "EXISTS")
        name = self._path()
        negated = self._take("word", "NOT")
        kind, word, _ = self._next("an operator")
        if kind == "sign":
            literal = self._literal()
            if word in _ORDER and isinstance(literal, bool):
                self._at -= 1
                raise self._wrong(f"a number after {word}")
            return Comparison(name, _SIGNS.get(word, word), (literal,), negated)
        if kind == "word" and word.upper() in _WORDS:
            return self._worded(name, word.upper(), negated=negated)
        self._at -= 1
        raise self._wrong("an operator")

    def _worded(self, name: str, word: str, *, negated: bool) -> Comparison:
        if word != "IN":
            literal = self._literal()
            if not isinstance(literal, str):
                raise self._wrong(f"a text after {word}")
            return Comparison(name, word, (literal,), negated)
        self._need("mark", "(")
        literals = [self._literal()]
        while self._take("mark", ","):
            literals.append(self._literal())
        self._need("mark", ")")
        return Comparison(name, "IN", tuple(literals), negated)

    def _path(self) -> str:
        kind, word, _ = self._next("a variable such as __name__:value")
        if kind != "path":
            self._at -= 1
            raise self._wrong("a variable such as __name__:value")
        return word.removesuffix(":value")

    def _literal(self) -> Literal:
        kind, word, _ = self._next("a value")
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", word[1:-1])
        if kind == "number":
            return float(word) if "." in word else int(word)
        if kind == "word" and word.lower() in {"true", "false"}:
            return word.lower() == "true"
        self._at -= 1
        raise self._wrong("a value: 'text' in single quotes, a number, true or false")

    def _next(self, wanted: str) -> tuple[str, str, int]:
        if self._at >= len(self._tokens):
            raise self._wrong(wanted)
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, kind: str, word: str) -> bool:
        there = self._tokens[self._at][:2] if self._at < len(self._tokens) else ("", "")
        if there[0] != kind or there[1].upper() != word:
            return False
        self._at += 1
        return True

    def _need(self, kind: str, word: str) -> None:
        if not self._take(kind, word):
            raise self._wrong(repr(word))

    def _wrong(self, wanted: str) -> UnsupportedError:
        at = self._tokens[self._at][2] + 1 if self._at < len(self._tokens) else len(self._text) + 1
        return UnsupportedError(f"condition {self._text!r}: expected {wanted} at character {at}")

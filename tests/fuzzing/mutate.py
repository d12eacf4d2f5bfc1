"""Turns an invented alert into one that nobody foresaw; the same dice give the same alert."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["mutated"]

_STRINGS: Final = (
    "", " ", "-", "\x00", "\x1b[31m", "\u202egpj.exe", "\u2066\u2069", "\ud800", "a\ud83d", "\ufeff", "{{7*7}}",
    "${jndi:ldap://192.0.2.1/a}",
    "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "'; DROP TABLE x;--", "%s%n", "../../etc/passwd", "a" * 5000,
    "192.0.2.300", "::ffff:192.0.2.1", "fe80::1%eth0", "2001:DB8::1", "[2001:db8::1]:443", "192.0.2.1:443",
    "_dmarc.example.com",
    "xn--", "xn--mnchen-3ya.example", "münchen.example", "EXAMPLE.COM.", "x@y", "ünï@example.com", "http://",
    "https://[::1]/%zz?q=[]{}|\\^`",
    "javascript:alert(1)", "C:\\", "C:\\dir\\", "\\\\host\\share\\", "/", "\\", "HKLM", "HKLM\\", "T9999",
    "T1562.001", "TA0005", "t1059",
    "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "2026-11-20T08:00:00",
    "2026-11-20T08:00:00+25:00",
    "99999999999999999999", "-1", "NaN", "0x1F", "ab" * 16, "AB" * 20, "ab" * 32, "0" * 64, "zz",
    "application/x-foo", "DOMAIN\\", "\\user",
    "DOMAIN\\us\\er", "'", "']] OR [", "[file:name = 'a']", "true", "null", "[]", "{}", '{"a": 1}', '[{"a"',
    "a=b,c=d", "a|b", "CVE-2026-1",
    "identity--00000000-0000-4000-8000-000000000000", "\n", "a\r\nb", "\t", "🙂", "ﬃ", "İ", "ß",
)  # fmt: skip
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 65536, 2**31, 2**53, 2**63, -(2**63), 10**30, 1e300, -0.0, 0.5, 1.5e9, 1e18, [],
    {}, [[]], [{}], [None], ["a", "b"],
    {"a": {"b": 1}}, {"": ""}, {"a.b": [1, {"c": None}]}, [[["deep"]]], [1, "2", None, {}], 1763625601,
    1763625601000, 1763625601000000000,
)  # fmt: skip
_LONG: Final = 1_000_000


def mutated(payload: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """One to four changes to an alert; now and then of its bytes, or of a value of a megabyte."""
    if payload.lstrip()[:1] not in {b"{", b"["}:
        return _line(payload, dice)
    document = json.loads(payload)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 4))):
        document = dice.choice(_CHANGES)(document, others, dice)
    text = json.dumps(document, ensure_ascii=dice.random() < 0.5)  # either half of all
    found = text.encode("utf-8", errors="surrogatepass")
    return _bytes(found, dice) if dice.random() < 0.05 else found  # one in twenty


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from _places(value, (*path, key))


def _value(dice: random.Random) -> Any:
    if dice.random() < 0.001:  # rarely: it is slow
        return dice.choice(("x", "a=", "1.", "\\", '"')) * (_LONG // 2)
    return dice.choice(_STRINGS) if dice.random() < 0.6 else copy.deepcopy(dice.choice(_VALUES))  # texts more often


def _at(document: Any, dice: random.Random) -> tuple[Any, Any] | None:
    places = list(_places(document))
    if not places:
        return None
    *parents, last = dice.choice(places)
    node = document
    for step in parents:
        node = node[step]
    return node, last


def _replace(document: Any, others: list[bytes], dice: random.Random) -> Any:
    del others
    found = _at(document, dice)
    if found is not None:
        found[0][found[1]] = _value(dice)
    return document


def _remove(document: Any, others: list[bytes], dice: random.Random) -> Any:
    del others
    found = _at(document, dice)
    if found is not None:
        del found[0][found[1]]
    return document


def _wrap(document: Any, others: list[bytes], dice: random.Random) -> Any:
    """A value becomes a list of it, an object around it, or its own text."""
    del others
    found = _at(document, dice)
    if found is not None:
        node, last = found
        value = node[last]
        node[last] = dice.choice(([value], [value, value], {"value": value}, [[value]], json.dumps(value), str(value)))
    return document


def _unwrap(document: Any, others: list[bytes], dice: random.Random) -> Any:
    """A list or object becomes one of its parts."""
    del others
    found = _at(document, dice)
    if found is not None:
        node, last = found
        value = node[last]
        if isinstance(value, dict | list) and value:
            node[last] = dice.choice(list(value.values()) if isinstance(value, dict) else value)
    return document


def _grow(document: Any, others: list[bytes], dice: random.Random) -> Any:
    """A list gets many elements, an object an unforeseen key."""
    del others
    found = _at(document, dice)
    if found is None:
        return document
    node, last = found
    value = node[last]
    if isinstance(value, list) and value:
        node[last] = value * dice.choice((2, 10, 70))
    elif isinstance(value, dict):
        value[dice.choice((*_STRINGS[:40], "unforeseen"))] = _value(dice)
    return document


def _deepen(document: Any, others: list[bytes], dice: random.Random) -> Any:
    del others
    found = _at(document, dice)
    if found is not None:
        node, last = found
        value = node[last]
        for _ in range(dice.choice((5, 70, 200))):
            value = {"x": value} if dice.random() < 0.5 else [value]  # either half
        node[last] = value
    return document


def _swap(document: Any, others: list[bytes], dice: random.Random) -> Any:
    """Two values change places."""
    del others
    first, second = _at(document, dice), _at(document, dice)
    if first is not None and second is not None:
        try:
            one, two = first[0][first[1]], second[0][second[1]]
            first[0][first[1]] = json.loads(json.dumps(two))
            second[0][second[1]] = json.loads(json.dumps(one))
        except (KeyError, IndexError, RecursionError):  # one stood inside the other
            return document
    return document


def _graft(document: Any, others: list[bytes], dice: random.Random) -> Any:
    """A part of another alert stands where one of this stood."""
    found = _at(document, dice)
    try:
        other = json.loads(dice.choice(others))
    except ValueError:
        return document
    part = _at(other, dice)
    if found is not None and part is not None:
        found[0][found[1]] = part[0][part[1]]
    return document


_CHANGES: Final[tuple[Callable[[Any, list[bytes], random.Random], Any], ...]] = (
    _replace, _replace, _replace, _replace, _remove, _wrap, _unwrap, _grow, _deepen, _swap, _graft,
)  # fmt: skip


def _bytes(payload: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(payload) + 1)
    return dice.choice(
        (
            payload[:at], payload[at:], payload[:at] + bytes([dice.randrange(256)]) + payload[at + 1 :],
            b"\xef\xbb\xbf" + payload, payload.decode("utf-8", "replace").encode("utf-16"), payload + payload,
            payload[:at] + b'"a":1,"a":2,' + payload[at:], b"\x00" + payload,
        )
    )  # fmt: skip


def _line(payload: bytes, dice: random.Random) -> bytes:
    text = payload.decode("utf-8", "replace")
    for _ in range(dice.choice((1, 1, 2, 4))):
        at, to = sorted((dice.randrange(len(text) + 1), dice.randrange(len(text) + 1)))
        value = str(_value(dice))
        text = dice.choice(
            (
                text[:at] + value + text[at:], text[:at] + text[to:], text[:at] + value + text[to:],
                text[:at] + text[at:to] * 2 + text[to:], text.replace("=", "\\=", 1), text.replace("|", "\\|", 1),
                text.replace("=", f"={value}", 1), text.replace(" ", "\t"),
            )
        )  # fmt: skip
    found = text.encode("utf-8", errors="replace")
    return _bytes(found, dice) if dice.random() < 0.05 else found  # one in twenty

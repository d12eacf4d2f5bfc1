"""Alerts that vary, made of a product's own fixtures: the inputs of the benchmark of normalisers.

What differs from one alert to the next is found by the shape of values (times, addresses, hashes, GUIDs, hosts, users,
files, command lines, process ids), never by vendor. A value varies only where that leaves the kinds of objects and what
the loss report says as they were: a value that a mapping decides by is not broken.
"""

import base64
import random
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from nightdesk.sdk.errors import MappingError
from nightdesk.stix.normalize import Normalizer
from nightdesk.stix.scope import Scope

__all__ = ["FIXTURES", "Seed", "seeds", "varied"]

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
GOLDEN = (".stix.json", ".loss.json")
#: Fixtures far from the usual size of their form test the least or the worst case; they are no usual alert.
USUAL = 3
#: Whose values are names of single things, so that they differ from alert to alert.
WORD_KEY = re.compile(
    r"(host|user|account|computer|machine|device|endpoint|mail|sender|recipient|file|path|image|process|executable|dns)"
    r"[_.]?(name|id|path|address|s)?$",
    re.IGNORECASE,
)
ID_KEY = re.compile(r"((^|[_.-])[ug]?u?id|[a-z]I[dD])$")
TEXT_KEY = re.compile(r"(cmd|command|arguments|args)", re.IGNORECASE)
NUMBER_KEY = re.compile(r"(pid|port|process_?id)$", re.IGNORECASE)
WORD = re.compile(r"[\w$-][\w.$@-]{2,63}")
CODE = re.compile(r"[A-Z]{1,5}-?\d{1,5}(\.\d+)?")  # techniques, tactics, event codes: these do repeat
OPAQUE = re.compile(r"(?=.*\d)[\w:@-]{4,}")
ISO = re.compile(r"(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d:\d\d)")
KINDS = {
    "time": ISO,
    "guid": re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"),
    "hex": re.compile(r"(?<![0-9A-Za-z])(?=\d*[A-Fa-f])[0-9A-Fa-f]{16,128}(?![0-9A-Za-z])"),
    "mac": re.compile(r"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f:-])"),
    "ipv6": re.compile(r"(?<![0-9A-Fa-f:])(?:2001|fd[0-9a-f]{2}|fe80):[0-9A-Fa-f:]*:[0-9A-Fa-f]{1,4}(?![0-9A-Fa-f:.])"),
    "ipv4": re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
    "sid": re.compile(r"S-1-5-21(?:-\d+){4}"),
    "digits": re.compile(r"(?<![\dA-Za-z.])\d{7,20}(?![\dA-Za-z])"),
    "opaque": re.compile(r"(?<![\w-])(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[\w-]{16,64}(?![\w-])"),
}
DOCUMENTATION = ("192.0.2", "198.51.100", "203.0.113")
EPOCH = range(1_400_000_000, 2_200_000_000)
WINDOWS = range(130, 141)  # 100 ns since 1601, in units of 10^15


@dataclass(frozen=True)
class Token:
    """A piece of a payload's text that varies; ``text`` is as it stands in the JSON."""

    kind: str
    text: str


@dataclass
class Seed:
    """One fixture, and what of it varies."""

    product: str
    form: str
    case: str
    text: str
    tokens: tuple[Token, ...] = ()
    _pattern: re.Pattern[str] | None = field(default=None, repr=False)

    def keep(self, tokens: list[Token]) -> None:
        """Only these vary."""
        self.tokens = tuple(sorted(tokens, key=lambda token: (-len(token.text), token.text)))
        bounded = (
            re.escape(token.text)
            if token.text[0] == '"' or token.kind == "time"  # a time is followed by its zone's letter
            else rf"(?<![0-9A-Za-z]){re.escape(token.text)}(?![0-9A-Za-z])"
            for token in self.tokens
        )
        self._pattern = re.compile("|".join(bounded)) if self.tokens else None

    def alert(self, rng: random.Random) -> bytes:
        """Another alert of this shape: one value is one new value, wherever it stands."""
        if self._pattern is None:
            return self.text.encode()
        ahead = rng.randrange(1, 20 * 86_400)
        new = {token.text: _other(token, rng, ahead) for token in self.tokens}
        return self._pattern.sub(lambda match: new[match[0]], self.text).encode()


def seeds(product: str, normalizer: Normalizer, scope: Scope) -> list[Seed]:
    """The product's usual alerts: those read without a complaint and of a usual size, each with what may vary in it."""
    found: list[Seed] = []
    for path in sorted((FIXTURES / product).glob("*/*.json")):
        if path.name.endswith(GOLDEN):
            continue
        try:
            text = orjson.dumps(orjson.loads(path.read_bytes())).decode()
            if normalizer.normalize(product, text.encode(), scope).loss.wrong:
                continue
        except (MappingError, orjson.JSONDecodeError):
            continue  # a fixture of what is refused
        found.append(Seed(product, path.parent.name, path.stem, text))
    usual = {
        form: statistics.median(len(seed.text) for seed in found if seed.form == form)
        for form in {seed.form for seed in found}
    }
    found = [seed for seed in found if usual[seed.form] / USUAL <= len(seed.text) <= usual[seed.form] * USUAL]
    for seed in found:
        _settle(seed, lambda payload: _shape(normalizer, product, payload, scope))
    return found


def varied(found: list[Seed], count: int, *, seed: str) -> list[tuple[str, bytes]]:
    """``count`` different alerts with their form, each seed in its turn; the same for the same ``seed``."""
    made: list[tuple[str, bytes]] = []
    for number in range(count):
        chosen = found[number % len(found)]
        rng = random.Random(f"{seed}/{chosen.product}/{number}")
        made.append((chosen.form, chosen.alert(rng)))
    return made


def _shape(normalizer: Normalizer, product: str, payload: bytes, scope: Scope) -> object:
    """What may not change when a value does."""
    try:
        made = normalizer.normalize(product, payload, scope)
    except MappingError:
        return None
    kinds = sorted(each["type"] for each in made.objects)
    return kinds, made.loss.stream, made.loss.read, len(made.loss.lost), made.loss.wrong


def _settle(seed: Seed, shape: Callable[[bytes], object]) -> None:
    """Keep what may vary: times together (they move together), all else alone; then all of it at once."""
    wanted = shape(seed.text.encode())

    def same(tokens: list[Token], times: int = 1) -> bool:
        seed.keep(tokens)
        return all(shape(seed.alert(random.Random(f"settle/{n}"))) == wanted for n in range(times))

    tokens = _tokens(seed.text)
    moments = [token for token in tokens if _is_time(token)]
    kept = moments if same(moments) else [token for token in moments if same([token])]
    kept += [token for token in tokens if token not in moments and same([token])]
    while kept and not same(kept, 3):
        kept.pop()
    seed.keep(kept)


def _is_time(token: Token) -> bool:
    return token.kind == "time" or (token.kind == "digits" and _unit(int(token.text)) > 0)


def _tokens(text: str) -> list[Token]:
    """Every value of a payload that might vary, each once: what has a shape of its own before what has only a key."""
    found: dict[str, Token] = {}
    taken: list[tuple[int, int]] = []
    for kind, pattern in KINDS.items():
        for match in pattern.finditer(text):
            if all(match.end() <= start or end <= match.start() for start, end in taken):
                taken.append(match.span())
                found.setdefault(match[0], Token(kind, match[0]))
    for path, value in _leaves(orjson.loads(text)):
        for token in _named(path, value):
            found.setdefault(token.text, token)
    return list(found.values())


def _named(path: tuple[str, ...], value: Any) -> Iterator[Token]:
    """What varies because of its key, or of its parent's and its own (``user``, ``name``)."""
    key = ".".join(path[-2:])
    written = f'"{path[-1]}":{orjson.dumps(value).decode()}'
    if NUMBER_KEY.search(key) and str(value).isdecimal() and 1024 <= int(value) <= 999_999:
        yield Token("number", written)
    elif isinstance(value, str) and len(value) > 3 and not any(pattern.search(value) for pattern in KINDS.values()):
        if TEXT_KEY.search(key) and re.search(r"[ /\\]", value):
            yield Token("text", orjson.dumps(value).decode())
        elif WORD_KEY.search(key):
            word = re.split(r"[\\/]", value)[-1]
            if WORD.fullmatch(word):
                yield Token("word", word)
        elif ID_KEY.search(key) and OPAQUE.fullmatch(value) and not CODE.fullmatch(value):
            yield Token("word", value)


def _leaves(node: Any, path: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, (*path, name))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, path)
    else:
        yield path, node


def _other(token: Token, rng: random.Random, ahead: int) -> str:
    text = token.text
    match token.kind:
        case "time":
            told = datetime.fromisoformat(text.replace(" ", "T")) + timedelta(seconds=ahead)
            return f"{told:%Y-%m-%d}{text[10]}{told:%H:%M:%S}"
        case "digits":
            return _digits(text, rng, ahead)
        case "guid" | "hex":
            return _alike(text, rng)
        case "mac":
            return text[:9] + _alike(text[9:], rng)
        case "ipv6":
            return text[: text.rindex(":") + 1] + f"{rng.randrange(1, 0xFFFF):x}"
        case "ipv4":
            return _address(text, rng)
        case "sid":
            return text[: text.rindex("-") + 1] + str(rng.randrange(1000, 99_999))
        case "text":
            return f'{text[:-1]} {rng.randrange(16**6):06x}"'
        case "number":
            quote = '"' if text.endswith('"') else ""
            return f"{text[: text.rindex(':') + 1]}{quote}{rng.randrange(1024, 65_535)}{quote}"
        case "opaque":
            return "".join(rng.choice("0123456789") if sign.isdigit() else sign for sign in text)
    tag = base64.b32encode(rng.randbytes(5)).decode().lower()[:6]
    stem, dot, ending = text.partition(".") if "." in text and "@" not in text else (text, "", "")
    name, at, place = stem.partition("@")
    return f"{name}-{tag}{at}{place}{dot}{ending}"


def _unit(value: int) -> int:
    """How many of it are a second, if it is a time; else 0."""
    for unit in (1, 1_000, 1_000_000, 1_000_000_000):
        if value // unit in EPOCH:
            return unit
    return 10_000_000 if value // 10**15 in WINDOWS else 0


def _digits(text: str, rng: random.Random, ahead: int) -> str:
    """A later time if it is one, in its own unit; else another number as long."""
    unit = _unit(int(text))
    return str(int(text) + ahead * unit) if unit else text[:2] + "".join(rng.choice("0123456789") for _ in text[2:])


def _alike(text: str, rng: random.Random) -> str:
    digits = "0123456789ABCDEF" if text.upper() == text else "0123456789abcdef"
    return "".join(rng.choice(digits) if sign in "0123456789abcdefABCDEF" else sign for sign in text)


def _address(text: str, rng: random.Random) -> str:
    first, second, _, last = text.split(".")
    if first == "10" or (first, second) == ("192", "168") or (first == "172" and 16 <= int(second) <= 31):
        return f"{first}.{second}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"
    if text in {"127.0.0.1", "0.0.0.0", "255.255.255.255"} or int(last) > 255 or first in {"0", "127", "224", "255"}:
        return text
    return f"{rng.choice(DOCUMENTATION)}.{rng.randrange(1, 255)}"

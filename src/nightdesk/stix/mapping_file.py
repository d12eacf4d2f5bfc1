"""Reads a mapping file: where each STIX fact of a product's alert comes from, as data that can be compiled and shown.

Grammar and field tables: docs/reference/mappings.md. Errors carry file, key and line.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.stix.fields import ALERT_FIELDS, HAS_ROLE, OBJECT_FIELDS, OBSERVATION_FIELDS, OBSERVATION_TABLES
from nightdesk.stix.functions import FUNCTIONS, check_call, check_pattern
from nightdesk.stix.mapping import Alternative, Condition, Entry, Expression, Mapping_
from nightdesk.stix.paths import Path_, parse_path
from nightdesk.stix.prepare import PREPARE

__all__ = ["load_mapping"]

# The one in C reads a mapping ten times as fast; some builds of PyYAML lack it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LABEL = re.compile(r"^[a-z][a-z0-9_]*$")
_LITERAL = re.compile(r"^'([^']*)'$")
# A separator stands between blanks: one inside a pattern (``shaped low|high``) is part of the pattern.
_PARTS = re.compile(r"""((?:'[^']*'|(?!\s\|\s)[^'])+)(?:\s\|\s|$)""")
_CALLS = re.compile(r"""((?:'[^']*'|(?!\s>\s)[^'])+)(?:\s>\s|$)""")


class _Reader:
    """Parses one file and collects every problem with its line."""

    def __init__(self, path: Path, extra: Mapping[str, Any]) -> None:
        self.path = path
        self.extra = extra
        self.problems: list[Problem] = []
        self.labels: dict[str, str] = {}
        self.lines: list[str] = []

    def wrong(self, key: str, message: str, found: str = "") -> None:
        line = next((n for n, text in enumerate(self.lines, 1) if found and found in text), None)
        self.problems.append(Problem(f"{self.path}:{line}" if line else str(self.path), key, message))

    def expression(self, key: str, text: Any, scales: Mapping[str, Any]) -> Expression:
        if not isinstance(text, str):
            self.wrong(key, f"an expression is a text, this is {type(text).__name__}", str(text))
            return ()
        alternatives: list[Alternative] = []
        for part in (match[1].strip() for match in _PARTS.finditer(text) if match[1].strip()):
            try:
                alternatives.append(self._alternative(part, scales))
            except ValueError as error:
                self.wrong(key, str(error), text)
        return tuple(alternatives)

    def _alternative(self, part: str, scales: Mapping[str, Any]) -> Alternative:
        head, *rest = [match[1].strip() for match in _CALLS.finditer(part) if match[1].strip()]
        calls: list[tuple[str, tuple[str, ...]]] = []
        for call in rest:
            name, *words = call.split()
            if head.startswith(("'", "@")):
                raise ValueError(f"{part!r}: functions are for paths")
            if name == "scale":
                if len(words) != 1 or words[0] not in scales:
                    raise ValueError(f"{part!r}: no scale {' '.join(words) or '(unnamed)'}")
            elif name not in FUNCTIONS and name not in self.extra:
                raise ValueError(f"{part!r}: no function {name!r}; there are scale, {', '.join(sorted(FUNCTIONS))}")
            else:
                check_call(name, {**FUNCTIONS, **self.extra}[name], words)
            calls.append((name, tuple(words)))
        literal = _LITERAL.match(head)
        if literal:
            return Alternative(literal=literal[1], calls=tuple(calls))
        if head.startswith("@"):
            label = head[1:]
            if label not in self.labels:
                raise ValueError(f"{head}: no object of that label stands above")
            return Alternative(reference=label, calls=tuple(calls))
        if head == ".":
            return Alternative(relative=True, calls=tuple(calls))
        if head.startswith("."):
            return Alternative(path=parse_path(head[1:]), relative=True, calls=tuple(calls))
        return Alternative(path=parse_path(head), calls=tuple(calls))

    def field(self, key: str, kind: str, value: Any, scales: Mapping[str, Any]) -> Any:
        if kind == "word":
            return str(value)
        if kind in {"texts", "hashes", "parts", "refs"}:
            items = value if isinstance(value, list) else [value]
            return tuple(self.expression(key, item, scales) for item in items)
        if kind == "texts_by_name":
            known = OBSERVATION_TABLES[key.rpartition(".")[2]]
            table = value if isinstance(value, dict) else {"?": value}
            for name in table:
                if name not in known:
                    self.wrong(f"{key}.{name}", f"no such key; there are {', '.join(known)}", str(name))
            return {name: self.expression(f"{key}.{name}", item, scales) for name, item in table.items()}
        return self.expression(key, value, scales)

    def entry(self, number: int, raw: Any, scales: Mapping[str, Any]) -> Entry | None:
        key = f"objects[{number}]"
        if not isinstance(raw, dict) or len(raw) != 1:
            self.wrong(key, "an object is one label with its fields: {user: {type: account, …}}")
            return None
        label, spec = next(iter(raw.items()))
        key = f"{key}.{label}"
        if not _LABEL.match(str(label)) or not isinstance(spec, dict):
            self.wrong(key, "a label is a-z, 0-9, _ and has fields", str(label))
            return None
        spec = dict(spec)
        kind = str(spec.pop("type", ""))
        if kind not in OBJECT_FIELDS:
            self.wrong(key, f"no type {kind!r}; there are {', '.join(OBJECT_FIELDS)}", str(label))
            return None
        role, each_text, when_text = str(spec.pop("role", "")), spec.pop("each", None), spec.pop("when", None)
        if role and kind not in HAS_ROLE:
            self.wrong(key, f"a {kind} has no role", str(label))
        each = None
        if each_text is not None:
            found = self.expression(f"{key}.each", each_text, scales)
            each = found[0] if found else None
        when = None
        if when_text is not None:
            left, operator, right = re.match(r"^(.*?)(?:\s*(==|!=)\s*'([^']*)')?$", str(when_text)).groups()  # type: ignore[union-attr]  # always matches
            when = (self.expression(f"{key}.when", left, scales), operator or "", right or "")
        fields: dict[str, Any] = {}
        for name, value in spec.items():
            wanted = OBJECT_FIELDS[kind].get(str(name))
            if wanted is None:
                self.wrong(
                    f"{key}.{name}", f"a {kind} has no {name}; it has {', '.join(OBJECT_FIELDS[kind])}", str(name)
                )
                continue
            fields[str(name)] = self.field(f"{key}.{name}", wanted, value, scales)
        self.labels[str(label)] = kind
        return Entry(str(label), kind, fields, role, each, when)


# Every section: what it must be, and how to say that.
_TEXT, _TABLE, _LIST = (str, "a text"), (dict, "a table of names"), (list, "a list")
_SECTIONS: Final[Mapping[str, tuple[Any, str]]] = {
    "product": _TEXT, "stream": _TEXT, "form": _TEXT, "vendor": _TEXT, "name": _TEXT, "version": (int, "a number"),
    "docs": _TEXT, "recognise": _LIST, "alert": _TABLE, "generic": (bool, "true or false"),
    "timeless": (bool, "true or false"), "pages": _LIST,
    "unwrap": _TEXT, "prepare": _LIST, "scales": _TABLE, "open": _LIST,
    "observation": _TABLE, "objects": _LIST, "techniques": _LIST, "tactics": _LIST,
    "vendor_fields": ((dict, list), "a table of names or a list"), "ignore": _LIST,
}  # fmt: skip
_REQUIRED = tuple(_SECTIONS)[:9]


def load_mapping(path: Path, extra: Mapping[str, Any] | None = None) -> Mapping_:
    """Reads one mapping. Raises ConfigError with every problem, each with file, line and key."""
    reader = _Reader(path, extra or {})
    try:
        text = path.read_text(encoding="utf-8")
        reader.lines = text.splitlines()
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506  # a safe loader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    if not isinstance(data, dict):
        raise ConfigError([Problem(str(path), "", "must be a mapping with product, stream, alert, objects …")])
    for name in sorted(set(map(str, data)) - set(_SECTIONS)):
        reader.wrong(name, f"no such section; there are {', '.join(sorted(_SECTIONS))}", name)
    for name, (kind, said) in _SECTIONS.items():
        if data.get(name) is None and name in _REQUIRED:
            reader.wrong(name, "is required")
        elif data.get(name) is not None and not isinstance(data[name], kind):
            reader.wrong(name, f"must be {said}, not {type(data[name]).__name__}", name)
    if reader.problems:
        raise ConfigError(reader.problems)
    scales = {
        str(name): {str(key).lower(): str(word) for key, word in dict(table).items()}
        for name, table in dict(data.get("scales") or {}).items()
    }
    entries = [reader.entry(number, raw, scales) for number, raw in enumerate(data.get("objects") or [])]
    alert, scores = _alert(reader, dict(data["alert"]), scales)
    observation = _observation(reader, dict(data.get("observation") or {}), scales)
    mapping = Mapping_(
        file=str(path),
        product=str(data["product"]),
        stream=str(data["stream"]),
        form=str(data["form"]),
        vendor=str(data["vendor"]),
        name=str(data["name"]),
        version=int(data["version"]),
        docs=str(data["docs"]),
        generic=bool(data.get("generic", False)),
        timeless=bool(data.get("timeless", False)),
        recognise=tuple(_recognised(reader, data["recognise"])),
        pages=tuple(_paths(reader, "pages", data.get("pages"))),
        unwrap=parse_path(str(data["unwrap"])) if data.get("unwrap") else (),
        prepare=tuple(_prepared(reader, data.get("prepare") or [])),
        scales=scales,
        alert=alert,
        scores=scores,
        observation=observation,
        objects=tuple(entry for entry in entries if entry is not None),
        techniques=_many(reader, "techniques", data.get("techniques"), scales),
        tactics=_many(reader, "tactics", data.get("tactics"), scales),
        vendor_fields=_vendor_fields(reader, data.get("vendor_fields"), scales),
        open=tuple(_paths(reader, "open", data.get("open"))),
        ignore=tuple(_ignored(reader, data.get("ignore") or [])),
    )
    if reader.problems:
        raise ConfigError(reader.problems)
    return mapping


def _alert(
    reader: _Reader, data: dict[str, Any], scales: Mapping[str, Any]
) -> tuple[dict[str, Expression], dict[str, Expression]]:
    scores = {
        str(name): reader.expression(f"alert.scores.{name}", value, scales)
        for name, value in dict(data.pop("scores", {}) or {}).items()
    }
    alert: dict[str, Expression] = {}
    for name, value in data.items():
        if name not in ALERT_FIELDS:
            reader.wrong(f"alert.{name}", f"no such field; there are {', '.join(ALERT_FIELDS)}, scores", str(name))
            continue
        alert[str(name)] = reader.expression(f"alert.{name}", value, scales)
    for name in ("native_id", "created"):
        if name not in alert:
            reader.wrong(f"alert.{name}", "is required")
    return alert, scores


def _observation(reader: _Reader, data: dict[str, Any], scales: Mapping[str, Any]) -> dict[str, Any]:
    observation: dict[str, Any] = {}
    for name, value in data.items():
        if name in OBSERVATION_TABLES:
            observation[name] = reader.field(f"observation.{name}", "texts_by_name", value, scales)
        elif name in OBSERVATION_FIELDS:
            observation[name] = reader.field(f"observation.{name}", OBSERVATION_FIELDS[name], value, scales)
        else:
            reader.wrong(f"observation.{name}", f"no such field; there are {', '.join(OBSERVATION_FIELDS)}", name)
    return observation


def _many(reader: _Reader, key: str, raw: Any, scales: Mapping[str, Any]) -> tuple[Expression, ...]:
    return tuple(reader.expression(key, item, scales) for item in raw or [])


def _vendor_fields(reader: _Reader, raw: Any, scales: Mapping[str, Any]) -> dict[str, Expression]:
    if isinstance(raw, dict):
        return {str(name): reader.expression(f"vendor_fields.{name}", item, scales) for name, item in raw.items()}
    return {
        re.sub(r"[^A-Za-z0-9_]+", "_", str(item)).strip("_"): reader.expression("vendor_fields", item, scales)
        for item in raw or []
    }


def _recognised(reader: _Reader, raw: Sequence[Any]) -> Iterator[Condition]:
    for item in raw:
        path, _, pattern = str(item).partition(" ~ ")
        absent = path.startswith("!")
        try:
            yield Condition(parse_path(path.removeprefix("!").strip()), check_pattern(pattern.strip()), absent)
        except ValueError as error:
            reader.wrong("recognise", str(error), str(item))


def _paths(reader: _Reader, key: str, raw: Sequence[Any] | None) -> Iterator[Path_]:
    for item in raw or ():
        try:
            yield parse_path(str(item))
        except ValueError as error:
            reader.wrong(key, str(error), str(item))


def _prepared(reader: _Reader, raw: Sequence[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for item in raw:
        name, *words = str(item).split() or [""]
        function = PREPARE.get(name) or reader.extra.get(name)
        if function is None:
            reader.wrong("prepare", f"no {name!r}; there are {', '.join((*PREPARE, *reader.extra))}", name)
            continue
        try:
            check_call(name, function, words)
            yield name, tuple(words)
        except ValueError as error:
            reader.wrong("prepare", str(error), name)


def _ignored(reader: _Reader, raw: Sequence[Any]) -> Iterator[tuple[Path_, str]]:
    for item in raw:
        if not isinstance(item, dict) or not item.get("reason") or not item.get("paths"):
            reader.wrong("ignore", "each entry has a reason and paths")
            continue
        for text in item["paths"]:
            try:
                yield parse_path(str(text)), str(item["reason"])
            except ValueError as error:
                reader.wrong("ignore", str(error), str(text))

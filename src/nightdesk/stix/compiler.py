"""Compiles a mapping to one straight-line Python function that reads a payload and calls the builder.

The generated source is kept (``CompiledMapping.source``) so that a mapping author can read what runs. It holds no text
of a payload: paths and words reach it as literals by ``repr``, and labels are checked identifiers.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.stix import reading
from nightdesk.stix.builder import AlertBuilder
from nightdesk.stix.fields import ALERT_FIELDS, OBJECT_FIELDS, OBSERVATION_FIELDS
from nightdesk.stix.functions import FUNCTIONS, bands
from nightdesk.stix.header import Header
from nightdesk.stix.loss import Coverage, open_fields
from nightdesk.stix.mapping import Alternative, Entry, Expression, Mapping_
from nightdesk.stix.paths import LIST
from nightdesk.stix.prepare import PREPARE

__all__ = ["CompiledMapping", "compile_mapping"]

_COERCE = {
    "text": "as_text", "integer": "as_integer", "number": "as_number", "flag": "as_flag", "time": "as_time",
    "url": "as_url", "scalar": "as_scalar", "texts": "texts", "hashes": "digests",
}  # fmt: skip
_MANY = frozenset({"texts", "hashes"})
_RULE_FIELDS = ("rule_id", "rule_name", "rule_version", "rule_type", "rule_url")


@dataclass(frozen=True)
class CompiledMapping:
    """One mapping, ready to run. ``read(document, builder, raw)`` returns what ``AlertBuilder.finish`` returns."""

    mapping: Mapping_
    read: Callable[[dict[str, Any], AlertBuilder, Mapping[str, Any]], tuple[list[dict[str, Any]], dict[str, Any]]]
    coverage: Coverage
    source: str
    steps: tuple[tuple[Callable[..., Any], tuple[str, ...]], ...] = ()

    def prepare(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document in the shape the mapping's paths are written for."""
        for step in self.mapping.unwrap:
            inner = document.get(step)
            if not isinstance(inner, dict):
                break
            # What stands beside it (a search hit's own id) stays readable, and lost when nothing reads it.
            document = {**{name: value for name, value in document.items() if name != step}, **inner}
        for prepare, words in self.steps:
            document = prepare(document, *words)
        return document


class _Block:
    """Lines of one nesting level; containers read in it are hoisted to its top, each once."""

    def __init__(self, root: str, indent: int, pointer: str) -> None:
        self.root = root
        self.indent = indent
        self.depth = indent
        self.pointer = pointer
        self.top: list[str] = []
        self.lines: list[str] = []
        self.containers: dict[tuple[str, ...], str] = {(): root}

    def add(self, text: str, extra: int = 0) -> None:
        self.lines.append("    " * (self.indent + extra) + text)

    def container(self, steps: tuple[str, ...], names: "_Names") -> str:
        known = self.containers.get(steps)
        if known is None:
            outer = self.container(steps[:-1], names)
            known = names.fresh("c")
            pad = "    " * self.depth
            pointer = self.pointer + _pointer(steps)
            self.top.append(f"{pad}{known} = {outer}.get({steps[-1]!r})")
            self.top.append(f"{pad}if {known}.__class__ is not dict: {known} = as_dict({known}, {pointer!r}, B)")
            self.containers[steps] = known
        return known

    def text(self) -> list[str]:
        return self.top + self.lines


def _pointer(steps: tuple[str, ...], every: str = "") -> str:
    """A JSON pointer; the elements of a list have no number when the mapping is compiled."""
    named = (every if step == LIST else step.replace("~", "~0").replace("/", "~1") for step in steps)
    return "".join(f"/{step}" for step in named if step)


class _Names:
    def __init__(self) -> None:
        self._count = 0

    def fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


class _Writer:
    def __init__(self, mapping: Mapping_) -> None:
        self.mapping = mapping
        self.names = _Names()
        self.root = _Block("doc", 1, "")

    # Reading.

    def value(self, block: _Block, expression: Expression, kind: str) -> str:
        """Emits code that leaves the expression's value in a fresh variable; returns its name."""
        target = self.names.fresh("v")
        for number, alternative in enumerate(expression):
            depth = min(number, 1)
            if number:
                block.add(f"if {target} is None:" if kind not in _MANY else f"if not {target}:")
            for line in self._alternative(block, alternative, target, kind):
                block.add(line, depth)
        if not expression:
            block.add(f"{target} = None")
        return target

    def _alternative(self, block: _Block, found: Alternative, target: str, kind: str) -> list[str]:
        if found.reference:
            return [f"{target} = r_{found.reference}"]
        if found.literal is not None:
            literal: Any = [found.literal] if kind in _MANY else found.literal
            return [f"{target} = {literal!r}", *self._coerce(target, kind, "/")]
        home = block if found.relative else self.root
        pointer = home.pointer + _pointer(found.path)
        if not found.path and kind in _MANY:
            lines = [f"{target} = [{self._element(home)}]", *self._calls(found, target, "texts", pointer)]
            return [*lines, *self._coerce(target, kind, pointer)]
        if LIST in found.path or kind in _MANY:
            read = f"{target} = many({home.root}, {found.path!r}, {home.pointer!r}, B)"
            lines = [read, *self._calls(found, target, "texts", pointer)]
            if kind not in _MANY:
                lines.append(f"{target} = {target}[0] if {target} else None")
            return [*lines, *self._coerce(target, kind, pointer)]
        if not found.path:
            lines = [f"{target} = {self._element(home)}"]
        else:
            holder = home.container(found.path[:-1], self.names)
            lines = [f"{target} = {holder}.get({found.path[-1]!r})"]
        return [*lines, *self._calls(found, target, kind, pointer), *self._coerce(target, kind, pointer)]

    @staticmethod
    def _element(home: _Block) -> str:
        """The list element itself; its object view is named after it with a ``d`` before."""
        return home.root[1:] if home.root != "doc" else "doc"

    def _calls(self, found: Alternative, target: str, kind: str, pointer: str) -> list[str]:
        lines = []
        for name, words in found.calls:
            if name == "scale":
                head, tail = f"scaled(S[{words[0]!r}], ", f", {pointer!r}, {words[0]!r}, B)"
            elif name == "bands":
                head, tail = "banded(", f", {words!r}, {pointer!r}, B)"
            elif name not in FUNCTIONS:
                head, tail = f"called(F[{name!r}], ", f", {words!r}, {pointer!r}, {name!r}, B)"
            else:
                head, tail = f"F[{name!r}](", "".join(f", {word!r}" for word in words) + ")"
            if kind == "texts":
                lines.append(f"{target} = each({target}, lambda x: {head}x{tail})")
            else:
                lines.append(f"if {target}.__class__ is list and len({target}) == 1: {target} = {target}[0]")
                lines.append(f"if {target} is not None and {target} != '': {target} = {head}{target}{tail}")
        return lines

    @staticmethod
    def _coerce(target: str, kind: str, pointer: str) -> list[str]:
        if kind in _MANY:
            return [f"if {target}: {target} = {_COERCE[kind]}({target}, {pointer!r}, B)"]
        if kind in {"raw", "ref"}:
            return []
        return [f"if {target} is not None: {target} = {_COERCE[kind]}({target}, {pointer!r}, B)"]

    def lists(self, block: _Block, expressions: tuple[Expression, ...], kind: str) -> str:
        """A list made of several expressions; each contributes all its values."""
        parts = [self.value(block, expression, kind) for expression in expressions]
        if kind in _MANY:
            return "[" + ", ".join(f"*({part} or ())" for part in parts) + "]"
        return "(" + "".join(f"{part}, " for part in parts) + ")"

    def argument(self, block: _Block, kind: str, value: Any) -> str:
        """Emits what a field needs and returns the expression to pass."""
        if kind == "word":
            return repr(value)
        if kind in _MANY:
            return self.lists(block, value, kind)
        if kind == "parts":
            return self.lists(block, value, "text")
        if kind == "refs":
            return self.refs(value)
        if kind == "texts_by_name":
            pairs = [f"{name!r}: {self.value(block, item, 'text')}" for name, item in value.items()]
            return "{" + ", ".join(pairs) + "}"
        return self.value(block, value, kind)

    @staticmethod
    def refs(expressions: tuple[Expression, ...]) -> str:
        names = [f"*all_{item.reference}" for expression in expressions for item in expression if item.reference]
        return "[" + ", ".join(names) + "]"

    # Building.

    def entries(self, entries: tuple[Entry, ...]) -> None:
        """Entries in order; neighbours over one list share its loop, so ``@label`` is the element's."""
        for each, group in itertools.groupby(entries, lambda entry: entry.each):
            together = list(group)
            for entry in together:
                self.root.add(f"r_{entry.label} = None")
                self.root.add(f"all_{entry.label} = []")
            if each is None:
                for entry in together:
                    self._entry(entry, self.root)
            else:
                self._loop(each, together)

    def _loop(self, each: Alternative, entries: list[Entry]) -> None:
        block, item, pointer = self.root, self.names.fresh("e"), _pointer(each.path, "*")
        values = f"many(doc, {each.path!r}, '', B)"
        for name, words in each.calls:
            called = f"called(F[{name!r}], x, {words!r}, {pointer!r}, {name!r}, B)"
            values = f"each({values}, lambda x: {called})"
        block.add(f"for {item} in {values}:")
        inner = _Block(f"d{item}", 2, pointer)
        otherwise = f"as_dict({item}, {pointer!r}, B)" if all(map(_needs_objects, entries)) else "EMPTY"
        inner.top.append("    " * 2 + f"d{item} = {item} if {item}.__class__ is dict else {otherwise}")
        for entry in entries:
            if len(entries) > 1:
                inner.add(f"r_{entry.label} = None")
            self._entry(entry, inner)
        block.lines += inner.text()
        for entry in entries:
            block.add(f"r_{entry.label} = all_{entry.label}[-1] if all_{entry.label} else None")

    def _entry(self, entry: Entry, block: _Block) -> None:
        if entry.when is None:
            self._build(entry, block)
        else:
            expression, operator, word = entry.when
            self._conditional(entry, block, expression, operator, word)

    def _conditional(self, entry: Entry, block: _Block, expression: Expression, operator: str, word: str) -> None:
        tested = self.value(block, expression, "raw")
        test = (
            f"str({tested}).lower() {operator} {word.lower()!r}"
            if operator
            else f"{tested} not in (None, '', False, [], {{}})"
        )
        block.add(f"if {test}:")
        deeper = _Block(block.root, block.indent + 1, block.pointer)
        deeper.containers = block.containers
        deeper.top = block.top
        deeper.depth = block.depth
        self._build(entry, deeper)
        block.lines += deeper.lines

    def _build(self, entry: Entry, block: _Block) -> None:
        kinds = OBJECT_FIELDS[entry.kind]
        fields = dict(entry.fields)
        arguments: list[str] = []
        pointer = ""
        if "value" in kinds:
            expression = fields.pop("value", ())
            if expression and isinstance(expression[0], Alternative):
                pointer = (block.pointer if expression[0].relative else "") + _pointer(expression[0].path)
            arguments.append(self.argument(block, kinds["value"], expression))
        arguments += [f"{name}={self.argument(block, kinds[name], value)}" for name, value in fields.items()]
        if entry.role:
            arguments.append(f"role={entry.role!r}")
        elif entry.kind == "asset":
            arguments.append("role=None")
        if entry.has_pointer:
            arguments.append(f"pointer={pointer or block.pointer or '/'!r}")
        if entry.kind == "link":
            source, kind, target = self._link(arguments)
            block.add(f"B.link({source}, {kind}, {target})")
            return
        block.add(f"r_{entry.label} = B.{entry.kind}({', '.join(arguments)})")
        block.add(f"if r_{entry.label}: all_{entry.label}.append(r_{entry.label})")

    @staticmethod
    def _link(arguments: list[str]) -> tuple[str, str, str]:
        named = dict(part.split("=", 1) for part in arguments[1:])
        return arguments[0], named.get("kind", "'related-to'"), named.get("target", "None")

    def source(self) -> str:
        """The whole function."""
        block, mapping = self.root, self.mapping
        self.entries(mapping.objects)
        for group, expressions in (("technique", mapping.techniques), ("tactic", mapping.tactics)):
            for expression in expressions:
                found = self.value(block, expression, "texts")
                block.add(f"for x in {found} or (): B.{group}(x)")
        arguments: list[str] = []
        rule: list[str] = []
        for name, expression in mapping.alert.items():
            found = self.value(block, expression, ALERT_FIELDS[name])
            (rule if name in _RULE_FIELDS else arguments).append(
                f"{name!r}: {found}" if name in _RULE_FIELDS else f"{name}={found}"
            )
        arguments.append("rule={" + ", ".join(rule) + "}")
        scores = [f"{name!r}: {self.value(block, item, 'number')}" for name, item in mapping.scores.items()]
        arguments.append("scores={" + ", ".join(scores) + "}")
        about = []
        for name, value in mapping.observation.items():
            kind = OBSERVATION_FIELDS.get(name, "texts_by_name")
            text = self.argument(block, kind, value)
            about.append(f"{name!r}: present({text})" if kind == "texts_by_name" else f"{name!r}: {text}")
        arguments.append("observation={" + ", ".join(about) + "}")
        extra = [f"{name!r}: {self.value(block, item, 'scalar')}" for name, item in mapping.vendor_fields.items()]
        if mapping.open:
            extra.append("**open_fields(doc, OPEN)")
        arguments.append("vendor_fields={" + ", ".join(extra) + "}")
        body = "\n".join(block.text())
        return f"def read(doc, B, raw):\n{body}\n    return B.finish(Header(raw=raw, {', '.join(arguments)}))\n"


def _needs_objects(entry: Entry) -> bool:
    """True when an entry reads keys of the elements it repeats over, and never an element itself."""
    found = [item for expression in entry.expressions() for item in expression if item.relative]
    return bool(found) and all(item.path for item in found)


def _banded(value: Any, words: tuple[str, ...], pointer: str, report: AlertBuilder) -> str | None:
    """A number to a severity word; what is no number is a problem, not a severity that nobody knows."""
    found = bands(value, *words)
    if found is None:
        report.problem(pointer, "a number", value)
    return found


def _scaled(table: Mapping[str, str], value: Any, pointer: str, name: str, report: AlertBuilder) -> str | None:
    """A vendor's word in our scale; one the table does not have is a problem, not a guess."""
    found = table.get(str(value).strip().lower())
    if found is None:
        found = table.get("*")
    if found is None:
        report.problem(pointer, f"a known {name}", value)
    return found or None


def _each(items: list[Any], function: Callable[[Any], Any]) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        singles = item if isinstance(item, list) else (item,)
        for made in (function(single) for single in singles if single not in (None, "")):
            flat.extend(made if isinstance(made, list) else () if made is None else (made,))
    return flat


def _called(
    function: Callable[..., Any], value: Any, words: tuple[str, ...], pointer: str, name: str, report: AlertBuilder
) -> Any:
    """A product's own function on a value; one that it did not foresee costs this value, not the alert."""
    try:
        return function(value, *words)
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError):
        report.problem(pointer, f"what {name} reads", value)
        return None


def _present(pairs: dict[str, Any]) -> dict[str, Any] | None:
    given = {name: value for name, value in pairs.items() if value is not None}
    return given or None


def compile_mapping(mapping: Mapping_, extra: Mapping[str, Callable[..., Any]] | None = None) -> CompiledMapping:
    """The mapping as a function; ``extra`` are the functions of the product's own ``functions.py``."""
    source = _Writer(mapping).source()
    functions = {**PREPARE, **FUNCTIONS, **(extra or {})}
    coverage = Coverage.of(mapping)
    names: dict[str, Any] = {
        "F": {**FUNCTIONS, **(extra or {})},
        "S": mapping.scales,
        "Header": Header,
        "scaled": _scaled,
        "banded": _banded,
        "each": _each,
        "called": _called,
        "present": _present,
        "open_fields": open_fields,
        "OPEN": coverage.open_parts(mapping.open),
        **{name: getattr(reading, name) for name in reading.__all__},
    }
    exec(compile(source, f"<{mapping.product}/{mapping.stream}>", "exec"), names)  # noqa: S102  # our own generated code
    steps = tuple((functions[name], words) for name, words in mapping.prepare)
    return CompiledMapping(mapping, names["read"], coverage, source, steps)

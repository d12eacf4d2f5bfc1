"""Writes the Python of one mapping: straight-line code that reads a payload and calls the builder.

The source holds no text of a payload: paths and words reach it as literals by ``repr``, labels are checked
identifiers. What is absent costs one look into a dictionary: an object whose essential fields have no value is never
asked for, a list that is not there is never walked, and a value that the mapping computes twice is computed once.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from nightdesk.stix.codeblock import Block, Names, pointer_of
from nightdesk.stix.fields import ALERT_FIELDS, OBJECT_FIELDS, OBSERVATION_FIELDS
from nightdesk.stix.functions import FUNCTIONS
from nightdesk.stix.header import Header
from nightdesk.stix.mapping import Alternative, Entry, Expression, Mapping_
from nightdesk.stix.needs import ALL_NEEDED, ESSENTIAL, gate_of, needs_objects
from nightdesk.stix.paths import LIST, Path_

__all__ = ["source_of"]

_COERCE = {
    "text": "as_text", "integer": "as_integer", "number": "as_number", "flag": "as_flag", "time": "as_time",
    "url": "as_url", "scalar": "as_scalar", "texts": "texts", "hashes": "digests",
}  # fmt: skip
_MANY = frozenset({"texts", "hashes"})
_RULE_FIELDS = ("rule_id", "rule_name", "rule_version", "rule_type", "rule_url")


class _Writer:
    def __init__(self, mapping: Mapping_) -> None:
        self.mapping = mapping
        self.names = Names()
        self.root = Block("doc", 1, "")
        self.looped: frozenset[str] = frozenset()
        every = [found for _, expression, _ in mapping.expressions() for found in expression]
        used = Counter(found for found in every if found.calls and not found.relative)
        self.again = {found for found, count in used.items() if count > 1}
        self.asked = {found.reference for found in every if found.reference}
        self.plural = self.asked & {*self._plural()}

    def _plural(self) -> Iterable[str]:
        """Labels whose every object is asked for, not only the last."""
        for entry in self.mapping.objects:
            if entry.each is not None:
                yield entry.label
            for name, value in entry.fields.items():
                if OBJECT_FIELDS[entry.kind][name] == "refs":
                    yield from (item.reference for expression in value for item in expression if item.reference)

    # Reading.

    def value(self, block: Block, expression: Expression, kind: str) -> str:
        """Emits code that leaves the expression's value in a fresh variable; returns its name."""
        if len(expression) == 1 and expression[0].reference and kind not in _MANY:
            return f"r_{expression[0].reference}"
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

    def _alternative(self, block: Block, found: Alternative, target: str, kind: str) -> list[str]:
        if found.reference:
            return [f"{target} = r_{found.reference}"]
        if found.literal is not None:
            literal: Any = [found.literal] if kind in _MANY else found.literal
            plain = kind in {"text", "texts", "raw"} and found.literal.strip() not in {"", "-"}
            return [f"{target} = {literal!r}", *([] if plain else self._coerce(target, kind, "/"))]
        if found not in self.again:
            return self._read(block, found, target, kind)
        known = self.root.known.get((f"memo {kind}", (repr(found),)))
        if known is None:
            known = self.root.known[f"memo {kind}", (repr(found),)] = self.names.fresh("m")
            self.root.hoist(f"{known} = UNREAD")
        lines = [f"    {line}" for line in self._read(block, found, known, kind)]
        return [f"if {known} is UNREAD:", *lines, f"{target} = {known}"]

    def _read(self, block: Block, found: Alternative, target: str, kind: str) -> list[str]:
        home = block if found.relative or block.root == self.root.root else self.root
        pointer = home.pointer + pointer_of(found.path)
        if LIST in found.path or kind in _MANY:
            read = home.many(found.path, self.names) if found.path else f"[{self._element(home)}]"
            lines = self._calls(found, target, "texts", pointer)
            if kind in _MANY:
                lines = [f"if {target}:", *_deeper([*lines, *self._coerce(target, kind, pointer)])]
                return [f"{target} = {read}", *lines]
            one = f"{target}[0] if len({target}) == 1 else {target} or None"  # a vendor field takes all
            lines.append(f"{target} = {one if kind == 'scalar' else f'{target}[0] if {target} else None'}")
            lines += self._coerce(target, kind, pointer)
            return [f"{target} = {read}", f"if not {target}: {target} = None", "else:", *_deeper(lines)]
        if found.path:
            read = f"{home.strict(found.path[:-1], self.names)}.get({found.path[-1]!r})"
        else:
            read = self._element(home)
        if not found.calls:
            return [f"{target} = {read}", *self._coerce(target, kind, pointer)]
        lines = [*self._calls(found, target, kind, pointer), *self._coerce(target, kind, pointer)]
        return [f"{target} = {read}", f"if {target} is not None:", *_deeper(lines)]

    @staticmethod
    def _element(home: Block) -> str:
        """The list element itself; its object view is named after it with a ``d`` before."""
        return home.root[1:] if home.root != "doc" else "doc"

    def _call(self, name: str, words: tuple[str, ...], pointer: str) -> tuple[str, str]:
        """What stands before and behind the value in a call."""
        if name == "scale":
            return f"scaled(S[{words[0]!r}], ", f", {pointer!r}, {words[0]!r}, B)"
        if name == "bands":
            return "banded(", f", {words!r}, {pointer!r}, B)"
        if name not in FUNCTIONS:
            return f"called(F[{name!r}], ", f", {words!r}, {pointer!r}, {name!r}, B)"
        return f"{name}(", "".join(f", {word!r}" for word in words) + ")"

    def _calls(self, found: Alternative, target: str, kind: str, pointer: str) -> list[str]:
        lines: list[str] = []
        for name, words in found.calls:
            head, tail = self._call(name, words, pointer)
            if kind == "texts":
                read = self._each(target, name, words, pointer)
                lines.append(f"if {target}: {target} = {read}" if lines else f"{target} = {read}")
                continue
            if found.path and name in FUNCTIONS:
                lines.append(f"if {target}.__class__ in COMPOUND: {target} = single({target}, {pointer!r}, B)")
            elif found.path:
                lines.append(f"if {target}.__class__ is list and len({target}) == 1: {target} = {target}[0]")
            lines.append(f"if {target} is not None and {target} != '': {target} = {head}{target}{tail}")
        return lines

    def _each(self, items: str, name: str, words: tuple[str, ...], pointer: str) -> str:
        """The call of a function on every element."""
        if name != "scale" and name not in FUNCTIONS:
            return f"each_called({items}, F[{name!r}], {words!r}, {pointer!r}, {name!r}, B)"
        if not words:
            return f"each({items}, {name})"
        head, tail = self._call(name, words, pointer)
        return f"each({items}, lambda x: {head}x{tail})"

    @staticmethod
    def _coerce(target: str, kind: str, pointer: str) -> list[str]:
        if kind in _MANY:
            return [f"if {target}: {target} = {_COERCE[kind]}({target}, {pointer!r}, B)"]
        if kind in {"raw", "ref"}:
            return []
        test = f"{target} is not None"
        if kind == "text":
            # A text that begins with a letter, a digit or a slash is what ``as_text`` makes of it: not asked again.
            test += f" and ({target}.__class__ is not str or not '.' <= {target} < '~')"
        return [f"if {test}: {target} = {_COERCE[kind]}({target}, {pointer!r}, B)"]

    def lists(self, block: Block, expressions: tuple[Expression, ...], kind: str) -> str:
        """A list made of several expressions; each contributes all its values."""
        parts = [self.value(block, expression, kind) for expression in expressions]
        if kind not in _MANY:
            return "(" + "".join(f"{part}, " for part in parts) + ")"
        if len(parts) == 1:
            return f"({parts[0]} or [])"
        return "[" + ", ".join(f"*({part} or ())" for part in parts) + "]"

    def argument(self, block: Block, kind: str, value: Any) -> str:
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

    def refs(self, expressions: tuple[Expression, ...]) -> str:
        """Every object of these labels; inside a shared loop those of the element."""
        found = [item.reference for expression in expressions for item in expression if item.reference]
        return "[" + ", ".join(f"r_{label}" if label in self.looped else f"*all_{label}" for label in found) + "]"

    # Building.

    def entries(self, entries: tuple[Entry, ...]) -> None:
        """Entries in order; neighbours over one list share its loop, so ``@label`` is the element's."""
        for each, group in itertools.groupby(entries, lambda entry: entry.each):
            together = list(group)
            for entry in together:
                if entry.label in self.asked:
                    self.root.add(f"r_{entry.label} = None")
                if entry.label in self.plural:
                    self.root.add(f"all_{entry.label} = {'[]' if each is None else '()'}")
            if each is None:
                self._gated(together)
            else:
                self._loop(each, together)

    def _gated(self, entries: list[Entry]) -> None:
        """Entries that only an alert with one of some keys can have cost one look where it has none of them."""
        for gate, group in itertools.groupby(entries, gate_of):
            block = self.root.gated() if gate else self.root
            for entry in group:
                self._entry(entry, block)
            if gate:
                self.root.add(f"if {' or '.join(f'{key!r} in doc' for key in gate)}:")
                self.root.lines += block.text()

    def _loop(self, each: Alternative, entries: list[Entry]) -> None:
        block, item, pointer = self.root, self.names.fresh("e"), pointer_of(each.path, "*")
        values = block.many(each.path, self.names) if each.path else "(doc,)"
        for name, words in each.calls:
            values = self._each(values, name, words, pointer)
        if each.calls:
            block.add(f"l{item} = {values}")
            values = f"l{item}"
        block.add(f"if {values}:")
        inner = Block(f"d{item}", 3, pointer)
        self.looped = frozenset(entry.label for entry in entries) if len(entries) > 1 else frozenset()
        asked = [entry.label for entry in entries if entry.label in self.asked]
        for label in asked:
            block.add(f"all_{label} = []", 1)
        for entry in entries:
            if len(entries) > 1 and entry.label in asked:
                inner.add(f"r_{entry.label} = None")
            self._entry(entry, inner)
        self.looped = frozenset()
        block.add(f"for {item} in {values}:", 1)
        body = inner.text()
        strict = all(map(needs_objects, entries))
        if strict or any(f"d{item}." in line for line in body):
            otherwise = f"as_dict({item}, {pointer!r}, B)" if strict else "EMPTY"
            block.add(f"d{item} = {item} if {item}.__class__ is dict else {otherwise}", 2)
        block.lines += body
        if not body:
            block.add("pass", 2)  # nothing of these objects can be made
        for label in asked:
            block.add(f"if all_{label}: r_{label} = all_{label}[-1]", 1)
            if len(entries) > 1:
                block.add(f"else: r_{label} = None", 1)

    def _entry(self, entry: Entry, block: Block) -> None:
        if entry.when is None:
            self._build(entry, block)
            return
        expression, operator, word = entry.when
        if operator:
            test = f"{self._lowered(block, expression)} {operator} {word.lower()!r}"
        else:
            test = f"{self.value(block, expression, 'raw')} not in (None, '', False, [], {{}})"
        block.add(f"if {test}:")
        inner = block.deeper()
        self._build(entry, inner)
        block.lines += inner.lines

    def _lowered(self, block: Block, expression: Expression) -> str:
        """A value as conditions compare it; a plain one of a list's element is read once for all of them."""
        found = expression[0]
        if len(expression) > 1 or not found.relative or found.calls or len(found.path) != 1 or LIST in found.path:
            return f"str({self.value(block, expression, 'raw')}).lower()"
        known = block.known.get(("lowered", found.path))
        if known is None:
            known = block.known["lowered", found.path] = self.names.fresh("t")
            block.hoist(f"{known} = str({block.root}.get({found.path[0]!r})).lower()")
        return known

    def _build(self, entry: Entry, block: Block) -> None:
        kinds = OBJECT_FIELDS[entry.kind]
        essential = ESSENTIAL.get(entry.kind, ("value",))
        known = {
            name: self.argument(block, kinds[name], entry.fields[name]) for name in essential if name in entry.fields
        }
        tests = [f"{text} is not None" if kinds[name] not in _MANY else text for name, text in known.items()]
        if not tests or (entry.kind in ALL_NEEDED and len(tests) < len(essential)):
            return
        block.add(f"if {(' and ' if entry.kind in ALL_NEEDED else ' or ').join(tests)}:")
        inner = block.deeper()
        for name, value in entry.fields.items():
            if name not in known:
                known[name] = self.argument(inner, kinds[name], value)
        self._made(entry, inner, known)
        block.lines += inner.lines

    def _made(self, entry: Entry, block: Block, known: dict[str, str]) -> None:
        if entry.kind == "link":
            block.add(f"B.link({known['value']}, {known.get('kind', repr('related-to'))}, {known['target']})")
            return
        arguments = [known.pop("value", "None")] if "value" in OBJECT_FIELDS[entry.kind] else []
        arguments += [f"{name}={known[name]}" for name in entry.fields if name in known]
        if entry.role:
            arguments.append(f"role={entry.role!r}")
        elif entry.kind == "asset":
            arguments.append("role=None")
        if entry.has_pointer:
            arguments.append(f"pointer={self._valuepointer_of(entry, block)!r}")
        named = f"r_{entry.label} = " if entry.label in self.asked else ""
        block.add(f"{named}B.{entry.kind}({', '.join(arguments)})")
        if entry.label in self.plural:
            block.add(f"if r_{entry.label}: all_{entry.label}.append(r_{entry.label})")

    @staticmethod
    def _valuepointer_of(entry: Entry, block: Block) -> str:
        expression = entry.fields.get("value", ())
        pointer = ""
        if expression:
            pointer = (block.pointer if expression[0].relative else "") + pointer_of(expression[0].path)
        return pointer or block.pointer or "/"

    def source(self) -> str:
        """The whole function."""
        block, mapping = self.root, self.mapping
        self.entries(mapping.objects)
        for group, expressions in (("technique", mapping.techniques), ("tactic", mapping.tactics)):
            for expression in expressions:
                found = self.value(block, expression, "texts")
                block.add(f"for x in {found} or (): B.{group}(x)")
        said = {name: self.value(block, expression, ALERT_FIELDS[name]) for name, expression in mapping.alert.items()}
        said["rule"] = _table({name: said.pop(name) for name in mapping.alert if name in _RULE_FIELDS})
        said["scores"] = _table({name: self.value(block, item, "number") for name, item in mapping.scores.items()})
        said["observation"] = _table(
            {name: self._observed(block, name, value) for name, value in mapping.observation.items()}
        )
        said |= {"raw": "raw", "vendor_fields": "X", "timeless": repr(mapping.timeless)}
        self._vendor_fields()
        body = "\n".join(block.text())
        header = ", ".join(said.get(field.name, "None") for field in dataclasses.fields(Header))
        return f"def read(doc, B, raw):\n{body}\n    return B.finish(Header({header}))\n"

    def _observed(self, block: Block, name: str, value: Any) -> str:
        if name in OBSERVATION_FIELDS:
            return self.argument(block, OBSERVATION_FIELDS[name], value)
        texts = {key: self.value(block, item, "text") for key, item in value.items()}
        given = " or ".join(f"{text} is not None" for text in texts.values())
        return f"present({_table(texts)}) if {given or 'False'} else None"

    def _vendor_fields(self) -> None:
        """Fills ``X`` with what there is; fields of one object that is not there cost one look together."""
        self.root.add("X = {}")
        for home, group in itertools.groupby(self.mapping.vendor_fields.items(), lambda item: _home(item[1])):
            block = self.root.deeper() if home else self.root
            for name, expression in group:
                if home is None:
                    value = self.value(block, expression, "scalar")
                    block.add(f"if {value} is not None: X[{name!r}] = {value}")
                    continue
                block.add(f"x = {self.root.strict(home, self.names)}.get({expression[0].path[-1]!r})")
                pointer = pointer_of(expression[0].path)
                block.add(f"if x is not None: keep(X, {name!r}, x, {pointer!r}, B)")
            if home:
                self.root.add(f"if {self.root.strict(home, self.names)}:")
                self.root.lines += block.lines
        if self.mapping.open:
            self.root.add("X.update(open_fields(doc, OPEN))")


def _table(items: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name!r}: {text}" for name, text in items.items()) + "}"


def _deeper(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _home(expression: Expression) -> Path_ | None:
    """Where the one plain value of an expression stands; None where there are several or a function reads it."""
    found = expression[0] if len(expression) == 1 else None
    if found is None or not found.path or found.reference or found.literal is not None or found.relative:
        return None
    return None if found.calls or LIST in found.path else found.path[:-1]


def source_of(mapping: Mapping_) -> str:
    """The Python of ``read(doc, B, raw)``, which returns what ``AlertBuilder.finish`` returns."""
    return _Writer(mapping).source()

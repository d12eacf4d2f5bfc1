"""Compiles a mapping to one Python function, with the functions that this calls at run time.

The generated source is kept (``CompiledMapping.source``) so that a mapping author can read what runs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from nightdesk.stix import reading
from nightdesk.stix.builder import AlertBuilder, Finished
from nightdesk.stix.codegen import source_of
from nightdesk.stix.functions import FUNCTIONS, bands
from nightdesk.stix.header import Header
from nightdesk.stix.loss import Coverage, open_fields
from nightdesk.stix.mapping import Mapping_
from nightdesk.stix.prepare import PREPARE
from nightdesk.stix.recognition import recogniser

__all__ = ["CompiledMapping", "compile_mapping"]


@dataclass(frozen=True)
class CompiledMapping:
    """One mapping, ready to run; its code is made when its first alert comes (one run meets few of all forms)."""

    mapping: Mapping_
    functions: Mapping[str, Callable[..., Any]]
    recognises: Callable[[dict[str, Any]], bool]
    steps: tuple[tuple[Callable[..., Any], tuple[str, ...]], ...] = ()

    @cached_property
    def coverage(self) -> Coverage:
        """The paths that it reads or ignores."""
        return Coverage.of(self.mapping)

    @cached_property
    def source(self) -> str:
        """The Python of ``read``."""
        return source_of(self.mapping)

    @cached_property
    def read(self) -> Callable[[dict[str, Any], AlertBuilder, Mapping[str, Any]], Finished]:
        """``read(document, builder, raw)`` returns what ``AlertBuilder.finish`` returns."""
        names: dict[str, Any] = {
            **_RUNTIME,
            "F": {**FUNCTIONS, **self.functions},
            "S": self.mapping.scales,
            "OPEN": self.coverage.open_parts(self.mapping.open),
        }
        file = f"<{self.mapping.product}/{self.mapping.stream}>"
        exec(compile(self.source, file, "exec"), names)  # noqa: S102  # our own generated code
        found: Callable[[dict[str, Any], AlertBuilder, Mapping[str, Any]], Finished] = names["read"]
        return found

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


def _each(items: Iterable[Any], function: Callable[[Any], Any]) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        for single in item if item.__class__ is list else (item,):
            if single is not None and single != "":
                made = function(single)
                if made.__class__ is list:
                    flat += made
                elif made is not None:
                    flat.append(made)
    return flat


def _each_called(  # a call, and what its report says
    items: Iterable[Any],
    function: Callable[..., Any],
    words: tuple[str, ...],
    pointer: str,
    name: str,
    report: AlertBuilder,
) -> list[Any]:
    return _each(items, lambda single: _called(function, single, words, pointer, name, report))


def _called(
    function: Callable[..., Any], value: Any, words: tuple[str, ...], pointer: str, name: str, report: AlertBuilder
) -> Any:
    """A product's own function on a value; one that it did not foresee costs this value, not the alert."""
    try:
        return function(value, *words)
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError):
        report.problem(pointer, f"what {name} reads", value)
        return None


def _keep(fields: dict[str, Any], name: str, value: Any, pointer: str, report: AlertBuilder) -> None:
    found = (value or None) if value.__class__ is str else reading.as_scalar(value, pointer, report)
    if found is not None:
        fields[name] = found


def _present(pairs: dict[str, Any]) -> dict[str, Any] | None:
    given = {name: value for name, value in pairs.items() if value is not None}
    return given or None


_RUNTIME: Final[Mapping[str, Any]] = {
    **FUNCTIONS,
    "UNREAD": object(),
    "Header": Header,
    "scaled": _scaled,
    "banded": _banded,
    "each": _each,
    "each_called": _each_called,
    "keep": _keep,
    "called": _called,
    "present": _present,
    "open_fields": open_fields,
    **{name: getattr(reading, name) for name in reading.__all__},
}
"""What generated code calls."""


def compile_mapping(mapping: Mapping_, extra: Mapping[str, Callable[..., Any]] | None = None) -> CompiledMapping:
    """The mapping, ready to be compiled; ``extra`` are the functions of the product's own ``functions.py``."""
    own = dict(extra or {})
    functions = {**PREPARE, **FUNCTIONS, **own}
    steps = tuple((functions[name], words) for name, words in mapping.prepare)
    return CompiledMapping(mapping, own, recogniser(mapping), steps)

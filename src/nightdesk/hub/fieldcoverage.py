"""Does a fixture feed every field of a mapping? What no fixture feeds has never been seen to work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightdesk.sdk.errors import ConfigError, MappingError
from nightdesk.stix.compiler import CompiledMapping
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.normalize import Normalizer
from nightdesk.stix.paths import LIST
from nightdesk.stix.scope import Scope

__all__ = ["Fields", "field_coverage"]

_SCOPE = Scope("fields", "Fields", TenantKey.from_text("00" * 32), "amber")
_DERIVED = (".stix.json", ".loss.json")


@dataclass(frozen=True, slots=True)
class Fields:
    """One form of a product: how many fields its mapping has, and those that no fixture feeds."""

    product: str
    stream: str
    form: str
    fields: int
    unfed: tuple[str, ...]


def field_coverage(normalizer: Normalizer, product: str, fixtures: Path) -> list[Fields]:
    """Every form of the product against the fixtures below that folder."""
    documents: dict[str, list[Any]] = {}
    for path in sorted(fixtures.rglob("*")):
        if not path.is_file() or path.suffix == ".md" or path.name.endswith(_DERIVED):
            continue
        try:
            made = normalizer.normalize(product, path.read_bytes(), _SCOPE)
        except (MappingError, ConfigError):
            continue  # a fixture of what is set aside feeds nothing
        documents.setdefault(made.form, []).append(made.document)
    return [_of(compiled, documents.get(compiled.mapping.form, [])) for compiled in normalizer.mappings(product)]


def _of(compiled: CompiledMapping, documents: Sequence[Any]) -> Fields:
    mapping = compiled.mapping
    fed: dict[str, bool] = {}
    for name, expression, base in mapping.expressions():
        paths = [
            (*base, *one.path) if one.relative else one.path
            for one in expression
            if not one.reference and one.literal is None
        ]
        if paths:
            found = any(_stands(document, path) for document in documents for path in paths)
            fed[name] = fed.get(name, False) or found
    unfed = tuple(name for name, found in fed.items() if not found)
    return Fields(mapping.product, mapping.stream, mapping.form, len(fed), unfed)


def _stands(node: Any, path: Iterable[str]) -> bool:
    """Whether any value stands at the path; lists are looked into wherever they are."""
    steps = tuple(path)
    if isinstance(node, list):
        rest = steps[1:] if steps and steps[0] == LIST else steps
        return any(_stands(item, rest) for item in node)
    if not steps:
        return node not in (None, "", {})
    if steps[0] == LIST:
        return _stands(node, steps[1:])
    return isinstance(node, Mapping) and _stands(node.get(steps[0]), steps[1:])

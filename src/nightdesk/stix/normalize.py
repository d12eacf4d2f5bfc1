"""Raw bytes of one alert to a STIX bundle, the facts of a decision and a loss report; the same for ever (law 2)."""

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import orjson

from nightdesk.sdk.case import Alert
from nightdesk.sdk.errors import ConfigError, MappingError, Problem
from nightdesk.stix.builder import AlertBuilder, Finished, to_alert
from nightdesk.stix.bundle import bundle_bytes
from nightdesk.stix.compiler import CompiledMapping, compile_mapping
from nightdesk.stix.lines import is_line, read_line
from nightdesk.stix.loss import LossReport
from nightdesk.stix.mapping_file import load_mapping
from nightdesk.stix.scope import Scope
from nightdesk.stix.unmapped import read_unmapped

__all__ = ["AUTO", "UNMAPPED", "Normalized", "Normalizer", "parse"]

AUTO = "auto"
"""Recognised from the payload; what no mapping knows is read by its keys and shapes."""
UNMAPPED = "unmapped"
"""The product of what no mapping knows."""
_JSON_BEGINS = (b"{", b"[", b" ", b"\n", b"\r", b"\t", b"\xef", b"\xff", b"\xfe")
LARGEST = 64 * 1024 * 1024
_KEY_END = re.compile(rb'"\s*:')
_SURROGATE = re.compile("[\ud800-\udfff]")


class Normalized:
    """One alert: its objects, ``bundle`` as bytes, ``alert`` as a decision reads it, ``loss`` as people do.

    ``mapping`` is None where the reader of last resort read it. What only some callers ask for is made when asked for.
    """

    def __init__(  # what one alert leaves behind
        self,
        finished: Finished,
        *,
        product: str,
        mapping: CompiledMapping | None,
        document: Mapping[str, Any],
        scope: Scope,
        digest: str,
        loss: Callable[[], LossReport],
    ) -> None:
        self.objects, self._facts = finished
        self.product = product
        self.mapping = mapping
        self.document = document
        self.scope = scope
        self._digest = digest
        self._loss = loss

    @property
    def form(self) -> str:
        """What the vendor calls this payload."""
        return self.mapping.mapping.form if self.mapping is not None else "no known form"

    @cached_property
    def bundle(self) -> bytes:
        """The bundle's bytes."""
        return bundle_bytes(self.scope, self.objects)

    @cached_property
    def loss(self) -> LossReport:
        """Which values were read, ignored, lost or wrong."""
        return self._loss()

    @cached_property
    def alert(self) -> Alert:
        """The projection that decisions read; every wrong value makes them abstain."""
        return to_alert(
            self._facts(), tenant=self.scope.slug, product=self.product, caution=self.loss.caution, digest=self._digest
        )


def parse(payload: bytes, *, source: str = "") -> tuple[Any, list[tuple[str, str, str]]]:
    """The JSON of a payload, and what was wrong with it though it could be read (NaN, duplicate keys, lone surrogates).

    Raises MappingError with a byte offset (``@N``) where nothing parses.
    """
    if len(payload) > LARGEST:
        raise MappingError(f"{len(payload)} bytes; the largest alert taken is {LARGEST}", pointer="@0", source=source)
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _parse_hard(payload, source)
    try:
        again = orjson.dumps(document)
        if again == payload:
            return document, []
        keys = again.count(b'":')
    except orjson.JSONEncodeError:
        keys = -1  # nested deeper than the encoder goes
    if payload.count(b'":') != keys and len(_KEY_END.findall(payload)) != keys:
        # Either a key stands twice or a text is escaped in two ways; the slow parser tells.
        return document, _duplicates(payload)
    return document, []


def _duplicates(payload: bytes) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            keys = [key for key, _ in items]
            found.extend((f"/{key}", "a key that stands once", "duplicate") for key in made if keys.count(key) > 1)
        return made

    try:
        json.loads(payload, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return [("/", "keys that stand once", "unreadable nesting")]
    return found


def _parse_hard(payload: bytes, source: str) -> tuple[Any, list[tuple[str, str, str]]]:
    """What orjson refuses and people still send: a byte order mark, UTF-16, NaN, lone surrogates."""
    wrong: list[tuple[str, str, str]] = []
    marks = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, "utf-8"))
    mark, encoding = next((found for found in marks if payload.startswith(found[0])), (b"", "utf-8"))
    try:
        text = payload[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        offset = len(mark) + error.start
        raise MappingError(f"not {encoding.upper()}: {error.reason}", pointer=f"@{offset}", source=source) from error

    def constant(name: str) -> None:
        wrong.append(("/", "a number", name))

    try:
        document = read_line(text) if is_line(text) else json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        offset = len(mark) + len(text[: error.pos].encode(encoding))
        raise MappingError(f"not JSON: {error.msg}", pointer=f"@{offset}", source=source) from error
    except (RecursionError, ValueError) as error:
        raise MappingError(f"not readable JSON: {type(error).__name__}", pointer="@0", source=source) from error
    try:
        document = _visible_surrogates(document, wrong)
    except RecursionError as error:
        raise MappingError("nested too deeply", pointer="@0", source=source) from error
    return document, wrong


def _visible_surrogates(node: Any, wrong: list[tuple[str, str, str]]) -> Any:
    """Lone surrogates cannot stand in UTF-8; they become their escapes, so nothing is lost."""
    if isinstance(node, str):
        if not _SURROGATE.search(node):
            return node
        wrong.append(("/", "a text of whole characters", "lone surrogate"))
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", node)
    if isinstance(node, dict):
        return {_visible_surrogates(key, wrong): _visible_surrogates(value, wrong) for key, value in node.items()}
    if isinstance(node, list):
        return [_visible_surrogates(item, wrong) for item in node]
    return node


class Normalizer:
    """All mappings of all products; compiled when a product is first met."""

    def __init__(
        self, folders: Iterable[tuple[str, Path]], functions: Callable[[str], Mapping[str, Any]] | None = None
    ) -> None:
        self._folders = dict(folders)
        self._functions = functions or (lambda _: {})
        self._compiled: dict[str, tuple[CompiledMapping, ...]] = {}
        self._all: list[CompiledMapping] = []

    @property
    def products(self) -> tuple[str, ...]:
        """Every product slug."""
        return tuple(sorted(self._folders))

    def mappings(self, product: str) -> tuple[CompiledMapping, ...]:
        """The compiled mappings of a product. Raises ConfigError for an unknown product or a wrong file."""
        known = self._compiled.get(product)
        if known is None:
            folder = self._folders.get(product)
            if folder is None:
                raise ConfigError([Problem("product", product, f"no normaliser; there are {', '.join(self.products)}")])
            extra = self._functions(product)
            loaded = [load_mapping(path, extra) for path in sorted(folder.glob("*.yaml"))]
            known = tuple(compile_mapping(mapping, extra) for mapping in loaded)
            self._compiled[product] = known
        return known

    def normalize(self, product: str, payload: bytes, scope: Scope, *, document: Any = None) -> Normalized:
        """One alert of one product (or ``auto``). Raises MappingError for what has no id, no time or is no object."""
        wrong: list[tuple[str, str, str]] = []
        if document is None:
            document, wrong = parse(payload, source=product)
        if document.__class__ is not dict:
            raise MappingError(f"an alert is an object, this is {type(document).__name__}", pointer="/", source=product)
        digest = hashlib.sha256(payload).hexdigest()
        media = "application/json" if payload[:1] in _JSON_BEGINS else "text/plain"
        raw = {"sha256": digest, "byte_count": len(payload), "media_type": media}
        compiled = None if product == UNMAPPED else self._recognised(product, document)
        if compiled is None:
            if product not in {AUTO, UNMAPPED}:
                forms = "; ".join(known.mapping.form for known in self.mappings(product))
                raise MappingError(f"none of its forms: {forms}", pointer="/", source=product)
            builder = AlertBuilder(scope, product=UNMAPPED, vendor="unknown", name="Unmapped product")
            builder.problems.extend(wrong)
            objects, facts, report = read_unmapped(document, builder, raw)
            return Normalized(
                (objects, facts), product=UNMAPPED, mapping=None, document=document, scope=scope, digest=digest,
                loss=lambda: report,
            )  # fmt: skip
        mapping = compiled.mapping
        builder = AlertBuilder(scope, product=mapping.product, vendor=mapping.vendor, name=mapping.name)
        builder.problems.extend(wrong)
        try:
            prepared = compiled.prepare(document)
            finished = compiled.read(prepared, builder, raw)
        except (TypeError, AttributeError, KeyError, IndexError, ValueError, RecursionError, OverflowError) as error:
            # A mapping function met a shape it did not foresee: this alert is kept and shown, the batch goes on.
            message = f"{type(error).__name__} while mapping: {error}"
            raise MappingError(message, pointer="/", source=f"{mapping.product}/{mapping.stream}") from error
        return Normalized(
            finished, product=mapping.product, mapping=compiled, document=prepared, scope=scope, digest=digest,
            loss=partial(_loss, compiled, prepared, builder.problems, builder.dropped),
        )  # fmt: skip

    def knows(self, product: str, document: Any) -> bool:
        """True when a mapping of the product reads this document."""
        return isinstance(document, dict) and self._recognised(product, document) is not None

    def pages(self, product: str) -> tuple[tuple[str, ...], ...]:
        """Where the API pages of a product (or, for ``auto``, of any) hold their records."""
        slugs = self.products if product == AUTO else (product,)
        found = (path for slug in slugs for compiled in self.mappings(slug) for path in compiled.mapping.pages)
        return tuple(dict.fromkeys(found))

    def _recognised(self, product: str, document: dict[str, Any]) -> CompiledMapping | None:
        for compiled in self._candidates(product):
            if compiled.recognises(document):
                return compiled
        return None

    def _candidates(self, product: str) -> Sequence[CompiledMapping]:
        """The mappings to ask, in order: those that read any vendor's alerts of one schema come last."""
        if product != AUTO:
            return self.mappings(product)
        if not self._all:
            every = [compiled for slug in self.products for compiled in self.mappings(slug)]
            self._all = sorted(every, key=lambda compiled: compiled.mapping.generic)
        return self._all


def _loss(
    compiled: CompiledMapping,
    document: Mapping[str, Any],
    problems: Sequence[tuple[str, str, str]],
    dropped: Sequence[str],
) -> LossReport:
    read, ignored, lost = compiled.coverage.walk(document)
    of = compiled.mapping
    wrong = tuple(dict.fromkeys(problems))
    return LossReport(of.product, of.stream, of.version, read, ignored, (*lost, *dropped), wrong)

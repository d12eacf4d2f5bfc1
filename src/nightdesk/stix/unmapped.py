"""The reader of last resort: JSON of a product that nobody mapped, read by its keys and the shapes of its values.

It guesses, and says so: the alert is marked ``unmapped``, and its caution is never empty, so that the autonomy abstains
whatever was found (law 7). It never refuses an object (law 1), and its guesses depend on nothing but the bytes (law 2):
without an id the payload's digest is the id, without a time a fixed moment is the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from nightdesk.stix import attack, guessing, shapes, values
from nightdesk.stix.builder import AlertBuilder
from nightdesk.stix.gathering import Gathering
from nightdesk.stix.guessed_header import HeaderGuess
from nightdesk.stix.loss import LossReport
from nightdesk.stix.reading import as_scalar
from nightdesk.stix.scales import SEVERITY

__all__ = ["read_unmapped"]

_DEEPEST = 64
_MOST_LEAVES = 20_000
_LONGEST_SCANNED = 65_536
_MOST_SCANNED = 524_288
_LONGEST_PARSED = 1_048_576
_LONGEST_FIELD = 2_000
_LONGEST_STEP = 64
_LONGEST_PATH = 256
_MOST_VENDOR_FIELDS = 64
_MOST_WORDS = 10
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_TYPE_KEYS = ("type", "Type", "entityType", "entity_type", "@odata.type", "kind", "objectType", "object_type",
              "indicator_type", "ioc_type", "observable_type")  # fmt: skip
_NAMING = ("key", "Key", "name", "Name", "field", "algorithm", "label", "type")
_FREE_TEXT = {"message", "raw", "description", "summary", "detail", "reason", "text", "log", "original", "body", "line"}
_WRAPPERS = {"event", "alert", "data", "result", "source", "detail", "body", "payload", "record", "finding", "property",
             "attribute", "incident", "detection", "hit", "input", "message", "field", "alarm", "notable"}  # fmt: skip
_TECHNIQUES = {"technique", "tactic", "attack"}
_TAGS = {"tag", "label", "id", "uid", "external"}
_DOCUMENTS = {"reference", "doc", "documentation", "help", "rule", "icon", "logo", "avatar", "image", "api", "schema",
              "context", "odata", "report", "remediation", "recommendation", "self", "info",
              "license", "author"}  # fmt: skip
_CONSOLES = {"alert": 0, "incident": 1, "detection": 1, "finding": 1, "offense": 1, "console": 2, "portal": 2,
             "workbench": 2, "investigation": 3, "permalink": 2, "link": 4, "web": 4, "dashboard": 4, "href": 5,
             "event": 3, "case": 5}  # fmt: skip
_WEAK_CONSOLES = {"link", "web", "href", "dashboard", "event", "case"}
_HIVES = ("HKEY_", "HKLM\\", "HKCU\\", "HKU\\", "HKCR\\", "\\REGISTRY\\", "HKCC\\")
_OCSF = {number: word for word, number in SEVERITY.items() if 0 < number < 99}


@dataclass(slots=True)
class _Place:
    """Where the walk is; ``element`` numbers list elements, ``path`` names without and ``name`` with their index."""

    words: tuple[str, ...] = ()
    element: int = 0
    path: str = ""
    name: str = ""
    depth: int = 0
    remote: int = 0

    def key(self, key: str, noun: tuple[str, ...]) -> "_Place":
        """One key further in, in an object of the kind ``noun``. Whatever a hostile key is, a path stays short."""
        step = key if len(key) <= _LONGEST_STEP else key[: _LONGEST_STEP - 1] + "…"
        words = (*self.words, *noun, *guessing.words(key))[-_MOST_WORDS:]
        return _Place(words, self.element, _join(self.path, step), _join(self.name, step), self.depth + 1, self.remote)

    def item(self, number: int | None, element: int, further: int) -> "_Place":
        """An element of the list that stands here."""
        name = self.name if number is None else _join(self.name, str(number))
        return _Place(self.words, element, self.path, name, self.depth + 1, self.remote + further)


def _join(path: str, step: str) -> str:
    if len(path) + len(step) > _LONGEST_PATH:
        return path if path.endswith("…") else path + "…"
    return f"{path}.{step}" if path else step or "_"


def read_unmapped(
    document: dict[str, Any], builder: AlertBuilder, raw: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], Callable[[], dict[str, Any]], LossReport]:
    """The objects, and what tells the facts, as a mapping gives them; and the loss report. Refuses no object."""
    reader = _Reader(builder)
    reader.walk(document, _Place())
    head = reader.head
    head.choose(document, raw)
    reader.things.build(head.native_id)
    header = head.header(raw)
    builder.problems.append(("/", "a mapping that reads this product", "none"))
    builder.problems.extend(head.problems)
    header.vendor_fields, read, lost = reader.rest(_MOST_VENDOR_FIELDS - len(builder.extra))
    objects, facts = builder.finish(header)
    loss = LossReport("unmapped", "json", 1, read, {}, lost, tuple(dict.fromkeys(builder.problems)))
    return objects, facts, loss


class _Reader:
    """One walk over one payload."""

    def __init__(self, builder: AlertBuilder) -> None:
        self.builder = builder
        self.things = Gathering(builder)
        self.head = HeaderGuess()
        self._leaves: list[tuple[_Place, Any]] = []
        self._used: set[int] = set()
        self._lost: dict[str, None] = {}
        self._parsed = 0
        self._scanned = 0

    def walk(self, value: Any, place: _Place) -> None:
        """Empty values carry nothing. What stands too deep is one lost path, as is what follows the last value read."""
        if value in _NOTHING:
            return
        whole = value.__class__ is dict or value.__class__ is list
        if len(self._leaves) >= _MOST_LEAVES or (whole and place.depth >= _DEEPEST):
            self._lost[place.path] = None
        elif value.__class__ is dict:
            self._object(value, place)
        elif value.__class__ is list:
            self._list(value, place)
        else:
            self._leaf(value, place)

    def _full(self, place: _Place) -> bool:
        """True when no more is read; all that is still to come is said to be lost in one word."""
        if len(self._leaves) < _MOST_LEAVES:
            return False
        self._lost[_join(place.path, "*")] = None
        return True

    def _object(self, node: dict[str, Any], place: _Place) -> None:
        kind = next((node[key] for key in _TYPE_KEYS if key in node), None) if place.depth > 0 else None
        noun = guessing.type_noun(kind) if kind.__class__ is str else None
        if "class_uid" in node and node.get("severity_id").__class__ is int and node["severity_id"] in _OCSF:
            word = _OCSF[node["severity_id"]]
            self.head.note(("severity",), word, len(self._leaves), place.remote, place.path)
        naming = _naming(node)
        for key, value in node.items():
            if self._full(place):
                return
            if key == naming:
                continue
            there = place.key(node[naming] if naming and key in {"value", "Value"} else key, (noun,) if noun else ())
            if value.__class__ is dict:
                there.remote += 1 if there.words and there.words[-1] in _WRAPPERS else 2
            self.walk(value, there)

    def _list(self, items: list[Any], place: _Place) -> None:
        if len(items) == 1:
            return self.walk(items[0], place.item(None, place.element, 1))
        # The hashes of one file stand in one list, a length each; two hashes of a length are two files'.
        digests = [values.hash_name(item) if item.__class__ is str else None for item in items[:5]]
        together = len(items) < 5 and (
            "hash" in place.words[-2:] or len({found[0] for found in digests if found}) == len(items)
        )
        for number, item in enumerate(items):
            if self._full(place):
                return None
            element = place.element if together else self.things.element(place.element)
            apart = item.__class__ is dict or item.__class__ is list
            self.walk(item, place.item(number if apart else None, element, 4))
        return None

    def _leaf(self, value: Any, place: _Place) -> None:
        if value.__class__ is str and value[:1] in {"{", "["} and self._nested(value, place):
            return
        leaf = len(self._leaves)
        self._leaves.append((place, value))
        self.head.note(place.words, value, leaf, place.remote, place.path)
        if value.__class__ is str:
            self._text(value, leaf, place.words, place.element)
        elif value.__class__ is int or value.__class__ is float:
            guess = guessing.classify(place.words)
            if guess is not None and guess.prop in {"pid", "port", "protocol", "size"}:
                self.things.thing(guess, place.words, place.element, value, leaf)

    def _nested(self, text: str, place: _Place) -> bool:
        """JSON inside a text is read like any other; its values count one by one."""
        if text[-1:] not in {"}", "]"} or self._parsed + len(text) > _LONGEST_PARSED or place.depth >= _DEEPEST:
            return False
        self._parsed += len(text)
        try:
            inner = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        if inner in _NOTHING:
            return False
        self.walk(inner, place.item(None, place.element, 1))
        return True

    def _text(self, text: str, leaf: int, words: tuple[str, ...], element: int) -> None:
        if not _TECHNIQUES.isdisjoint(words[-4:]):
            self._attack(text, leaf, words)
        elif len(text) < _LONGEST_STEP and not _TAGS.isdisjoint(words[-2:]):
            said = guessing.words(text)
            if text[:1] in "Tt" or not _TECHNIQUES.isdisjoint(said):
                self._attack(text, leaf, (*words, *said))
        if not self._shaped(text, leaf, words, element):
            guess = guessing.classify(words)
            if guess is not None:
                self.things.thing(guess, words, element, text, leaf)
        if not _FREE_TEXT.isdisjoint(words[-2:]):
            self._free(self._allowed(text), leaf)
        elif words and words[-1] in {"hash", "md5", "sha1", "sha256"} and "=" in text[:16]:
            for key, value in shapes.pairs(text[:512]):
                self._text(value, leaf, (*words[:-1], *guessing.words(key)), element)

    def _shaped(self, text: str, leaf: int, words: tuple[str, ...], element: int) -> bool:
        """What is told by its shape alone; true when the value is nothing else."""
        trimmed = text.strip()
        if not 2 < len(trimmed) <= 8192:
            return False
        found = shapes.address_part(trimmed, words)
        if found is not None:
            self._address(found, leaf, words, element)
            return True
        if "ip" in words[-2:] and len(trimmed) < 2048 and any(mark in trimmed for mark in ",; "):
            several = [
                shapes.address_part(part, ()) for part in trimmed.replace(";", ",").replace(" ", ",").split(",") if part
            ]
            if all(several):
                for one in several:
                    self._address(one, leaf, words, element)  # type: ignore[arg-type]  # all() says none is None
                return True
        if "://" in trimmed[:32]:
            return self._link(trimmed, leaf, words)
        if (trimmed.count(":") == 5 or trimmed.count("-") == 5 or "mac" in words[-2:]) and values.mac(trimmed):
            if len(trimmed) == 17 or "mac" in words[-2:]:
                self.things.simple("mac", trimmed, leaf, words)
                return True
        elif "@" in trimmed and len(trimmed) <= 320:
            return self._mail(trimmed, leaf, words)
        elif (
            trimmed.upper().startswith(_HIVES)
            and "\\" in trimmed[:-1]
            and len(trimmed) <= 1024
            and trimmed.isprintable()
        ):
            self.things.simple("registry_key", trimmed, leaf, words)
            return True
        return False

    def _address(self, found: tuple[str, int | None], leaf: int, words: tuple[str, ...], element: int) -> None:
        self.things.simple("address", found[0], leaf, words)
        self.things.endpoint(words, element, "ip", found[0], leaf)
        if found[1] is not None:
            self.things.endpoint(words, element, "port", found[1], leaf)

    def _mail(self, text: str, leaf: int, words: tuple[str, ...]) -> bool:
        """True for a mail address; an account named by one goes on to be an account."""
        bare = text.rpartition("<")[2].rstrip("> ") if text.endswith(">") else text
        if "message" in words[-3:] and words[-1] == "id":
            return True  # a mail's own id has the shape of an address
        address = shapes.mail(bare)
        if address is None:
            return False
        guess = guessing.classify(words)
        if guess is not None and guess.kind == "account" and guess.prop in {"login", "upn"}:
            return False
        self.things.simple("email", address, leaf, words)
        return True

    def _link(self, text: str, leaf: int, words: tuple[str, ...]) -> bool:
        said = {*words[-3:]}
        if text[:8].lower() == "file:///" or values.url(text) is None:
            return False
        ranks = [rank for word, rank in _CONSOLES.items() if word in said]
        if "attack.mitre.org" in text[:40] or (said & _DOCUMENTS and said & _CONSOLES.keys() <= _WEAK_CONSOLES):
            return True
        if ranks and not {"threat", "malicious", "download", "request"} & said:
            if text[:8].lower().startswith(("http://", "https://")):
                self.head.console(text, leaf, min(ranks) + len(words))
            return True
        if {"url", "uri", "referer", "value", "indicator", "ioc", "name", "link"} & said or text[:4].lower() == "http":
            self.things.simple("url", text, leaf, words)
            return True
        return False

    def _attack(self, text: str, leaf: int, words: tuple[str, ...]) -> None:
        found = shapes.techniques_in(self._allowed(text))
        if _TECHNIQUES.isdisjoint(words[-4:]):
            found = [one for one in found if one == text.strip().upper()]
        for technique in found:
            self.builder.technique(technique)
        tactic = attack.tactic(text[:64]) or attack.tactic("-".join(guessing.words(text[:64])))
        tactic = tactic if "tactic" in words[-4:] or text[:2].upper() == "TA" else None
        if tactic:
            self.builder.tactic(tactic)
        if found or tactic:
            self._used.add(leaf)

    def _allowed(self, text: str) -> str:
        """As much of a text as is searched; all texts of a payload share one allowance."""
        part = text[: min(_LONGEST_SCANNED, _MOST_SCANNED - self._scanned)]
        self._scanned += len(part)
        return part

    def _free(self, text: str, leaf: int) -> None:
        """A sentence or a line of a log: what is certain by itself, and ``key=value`` where the key is."""
        for kind, token in shapes.tokens(text):
            if kind == "address" or values.url(token) is not None:
                self.things.simple(kind, token, leaf, ("text",))
        element, lengths = self.things.element(0), set[int]()
        for digest in shapes.digests_in(text):
            if len(digest) in lengths:
                element, lengths = self.things.element(0), set()
            lengths.add(len(digest))
            self.things.thing(guessing.Guess("file", "hash", ()), ("text",), element, digest, leaf)
        for technique in shapes.techniques_in(text):
            self.builder.technique(technique)
            self._used.add(leaf)
        element = self.things.element(0)
        for key, value in shapes.pairs(text):
            words = guessing.words(key)
            guess = guessing.classify(words)
            if shapes.address_part(value, words) is not None:
                self._shaped(value, leaf, words, element)
            elif guess is not None and guess.kind in {"account", "host", "net", "file"}:
                self.things.thing(guess, words, element, value, leaf)

    def rest(self, most: int) -> tuple[dict[str, Any], int, tuple[str, ...]]:
        """(vendor fields, leaves read, paths lost): what became nothing else is kept, nearest the root first."""
        fields: dict[str, Any] = {"unmapped": True}
        for name in ("vendor", "product"):
            word = self.head.word(name)
            if word is not None:
                fields[name] = word
        used = self._used | self.things.used | self.head.used
        left = [leaf for leaf in range(len(self._leaves)) if leaf not in used]
        left.sort(key=lambda leaf: (self._leaves[leaf][0].remote + _dull(self._leaves[leaf][1]), leaf))
        own = frozenset(fields)
        dropped = [
            place
            for place, value in map(self._leaves.__getitem__, left)
            if not _keep(fields, own, place.name, value, most)
        ]
        lost = dict.fromkeys([*(place.path or "/" for place in dropped), *self._lost])
        return fields, len(self._leaves) - len(dropped), tuple(lost)


def _naming(node: Mapping[str, Any]) -> str | None:
    """The key whose text names the value beside it, as in ``{"key": "source_ip", "value": "192.0.2.7"}``."""
    value = node.get("value", node.get("Value"))
    if value in _NOTHING or value.__class__ is dict or len(node) > 8:
        return None
    for key in _NAMING:
        text = node.get(key)
        if text.__class__ is str and len(text) <= _LONGEST_STEP and 0 < len(guessing.words(text)) <= 4:
            return key
    return None


def _dull(value: Any) -> int:
    return 3 if value.__class__ is bool or value == 0 else 0


def _keep(fields: dict[str, Any], own: frozenset[str], name: str, value: Any, most: int) -> bool:
    """One value more among the vendor fields; those of one list are one text."""
    scalar = None if value is None else as_scalar(value, "", shapes.Silent())
    if scalar is None or (scalar.__class__ is str and len(str(scalar)) > _LONGEST_FIELD) or name.endswith("…"):
        return False
    if name in own:
        return bool(fields[name] == scalar)
    if name in fields:
        joined = f"{fields[name]}, {scalar}"
        if len(joined) > _LONGEST_FIELD:
            return False
        fields[name] = joined
        return True
    if len(fields) >= most:
        return False
    fields[name] = scalar
    return True

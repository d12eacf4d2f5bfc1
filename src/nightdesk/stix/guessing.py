"""What a key says of its value where no mapping does: its words, and the kind of thing they name.

Everything here is a pure function of its arguments. Caches are bounded and hold names of keys only. A key is told by
its words (``srcProcess.parentPid`` is source, process, parent, pid): the last one or two name the property, the nearest
noun before them names the thing, the rest tells two things of one kind apart.
"""

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["REPORTERS", "SIDES", "Guess", "classify", "type_noun", "words"]

_LONGEST_KEY = 128
_TERMS = re.compile(
    r"(?i)sha[-_ ]?(1|224|256|384|512)(?!\d)(?:hex)?|(md)[-_ ]?5(?:hex)?|\b(ip)v?[46](?![0-9])|(ip)v[46]"
)
_ACRONYMS = re.compile(r"(?<![A-Z])([A-Z]{2,})s(?![a-z])")
_WORDS = re.compile(r"(?:md5|sha\d+)|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

SIDES = {
    "source": ("s", 0), "destination": ("s", 1), "client": ("c", 0), "server": ("c", 1), "local": ("l", 0),
    "remote": ("l", 1), "orig": ("o", 0), "resp": ("o", 1), "attacker": ("a", 0), "principal": ("a", 0),
    "target": ("a", 1), "victim": ("a", 1),
}  # fmt: skip
"""Which end of a connection a word means, in families: ends of two families are not of one connection."""
REPORTERS = frozenset(
    {"observer", "sensor", "collector", "syslog", "manager", "forwarder", "relay", "reporter", "logger", "intermediary"}
)
"""Who reports stands in every alert, so it joins none of them."""
_NOUNS = {
    **dict.fromkeys(("process", "image", "executable"), "process"),
    **dict.fromkeys(("file", "attachment", "binary", "document", "dll"), "file"),
    **dict.fromkeys(("user", "account", "login", "logon", "identity", "upn"), "account"),
    **dict.fromkeys(("host", "device", "computer", "machine", "endpoint", "workstation"), "host"),
    **dict.fromkeys(("agent", "asset", "vm"), "host"),
    **dict.fromkeys(("domain", "fqdn", "dns", "query", "question", "sni", "rrname"), "domain"),
    **dict.fromkeys(("url", "uri", "http", "tls", "ssl", "request", "referer"), "url"),
}  # fmt: skip
_PARENTS = {"parent": 1, "grandparent": 2}
_SKIPPED = {
    "source", "destination", "target", "subject", "actor", "initiating", "new", "current", "remote", "local", "client",
    "victim", "attacker", "child", "caller", "affected", "impacted", "related", "compromised", "principal", "causality",
    "creator", "actual", *_PARENTS,
}  # fmt: skip
_FILLERS = {
    "info", "information", "detail", "data", "property", "attribute", "field", "event", "alert", "object", "value",
    "additional", "extra", "meta", "metadata", "raw", "payload", "body", "record", "result", "context", "evidence",
    "entity", "item", "list", "finding", "snapshot", "primary", "custom", "the",
}  # fmt: skip
_HASHES = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "hash": 0, "checksum": 0, "digest": 0}
_SAMPLES = {"malware", "threat", "sample", "payload", "content", "quarantined", "detection", "target", "root", "cause",
            "element", "indicator", "ioc", "observable", "artifact", "match"}  # fmt: skip
_NO_FILE_HASH = {
    "session", "token", "cert", "certificate", "thumbprint", "x", "ja3", "ja", "tlsh", "imphash", "ssdeep", "signer",
    "cdhash", "id", "uid", "uuid", "guid", "password", "key", "nonce", "rule", "policy", "ssl", "tls", "issuer",
    "authentihash", "imp", "import", "macro", "fuzzy", "issue",
}  # fmt: skip
_DROPPED = {
    "process": {"process", "image", "executable", "file", "path", "code", "identity", "new", *_HASHES},
    "file": {"file", "identity", "path", *_HASHES},
    "account": {"user", "account", "login", "logon", "identity", "principal", "name", "upn", "sam"},
    "host": {*(word for word, noun in _NOUNS.items() if noun == "host"), "name", "net", "bios", "dns", "fqdn", "os"},
    "net": {"ip", "address", "port", "network", "endpoint", "connection", "traffic", "flow", "host", "net", "socket",
            "external", "internal", "public", "private", "translated", "nat"},
}  # fmt: skip
_TYPES = {
    **dict.fromkeys(("host", "device", "computer", "machine", "endpoint", "workstation", "hostname"), "host"),
    **dict.fromkeys(("user", "account", "username", "login"), "user"),
    **{word: word for word in ("file", "process", "ip", "url", "domain", "email", "hash", *_HASHES)},
}  # fmt: skip
_SYNONYMS = {
    "src": "source", "tgt": "target", "dst": "destination", "dest": "destination", "addr": "address",
    "proc": "process", "msg": "message", "cmd": "command", "desc": "description", "exe": "executable",
    "hostname": "host name", "username": "user name", "filename": "file name", "filepath": "file path",
    "commandline": "command line", "cmdline": "command line", "ppid": "parent pid", "sport": "source port",
    "dport": "destination port", "spt": "source port", "dpt": "destination port", "suser": "source user",
    "duser": "destination user", "shost": "source host", "dhost": "destination host", "dvc": "device",
    "dvchost": "observer host", "saddr": "source address", "daddr": "destination address", "sip": "source ip",
    "dip": "destination ip", "smac": "source mac", "dmac": "destination mac", "useragent": "browser",
    "proto": "protocol", "usr": "user", "datetime": "date time", "lastseen": "last seen", "firstseen": "first seen",
    "filehash": "file hash", "samaccountname": "user name", "originator": "orig", "initiator": "orig",
    "responder": "resp", "children": "child", "subprocess": "child", "netbios": "net bios", "mitre": "technique",
    "ttp": "technique", "subtechnique": "technique", "sub": "", "timestamp": "time stamp",
    "folderpath": "folder path", "directory": "folder", "dir": "folder", "uris": "uri", "addresses": "address",
    "hashes": "hash", "processes": "process", "entities": "entity", "properties": "property",
    "identities": "identity", "queries": "query",
}  # fmt: skip
_PARTS = frozenset({
    "src", "dst", "dest", "tgt", "source", "destination", "client", "server", "local", "remote", "user", "host",
    "target", "attacker", "victim", "external", "internal", "public", "private", "sender", "machine", "device",
    "computer", "file", "process", "proc", "parent", "account", "domain", "image", "event", "alert", "rule",
    "incident", "threat", "query", "agent", "created", "updated", "modified", "detected", "occurred", "ip", "port",
    "mac", "name", "addr", "address", "id", "uuid", "guid", "path", "hash", "url", "sid", "time", "type", "severity",
    "pid", "at", "email", "command", "line", "cmd", "cmdline", "md5", "sha1", "sha256", "hostname", "username",
    "filename", "orig", "org", "site", "os", "version", "dns", "vendor", "product", "description", "start", "first",
    "last", "seen", "size", "login", "group", "status", "parentname",
})  # fmt: skip
_PLURALS = {
    word + "s": word
    for word in (
        *_NOUNS, *SIDES, *_FILLERS, *_HASHES, "ip", "port", "name", "mac", "technique", "tactic", "email", "mail",
        "link", "reference", "tag", "command", "path", "argument", "recipient", "sender", "detection", "incident",
        "rule", "message", "filter", "model", "policy", "indicator", "observable", "description", "threat", "parent",
    )
}  # fmt: skip


@lru_cache(maxsize=16384)
def words(key: str) -> tuple[str, ...]:
    """The lower-case words of a key, synonyms and plurals brought together, at most eight; none of a hostile length."""
    if len(key) > _LONGEST_KEY:
        return ()
    if key[:1] == "$":
        return ("pointer",)  # of a JSON serialiser: where in this document the rest of it stands
    marked = _TERMS.sub(lambda found: f" {'sha' + found[1] if found[1] else 'md5' if found[2] else 'ip'} ", key)
    result: list[str] = []
    for token in _WORDS.findall(_ACRONYMS.sub(r"\1", marked)):
        word = token.lower()
        for part in (word,) if word in _SYNONYMS or word in _PLURALS else _parted(word):
            single = _PLURALS.get(part, part)
            result.extend(_SYNONYMS.get(single, single).split())
    return tuple(result[-8:])


def _parted(word: str) -> tuple[str, ...]:
    """``sourceprocessname`` in its parts when it is made of known words throughout, else as it is."""
    known: dict[int, tuple[str, ...]] = {0: ()}
    for end in range(2, len(word) + 1):
        for start in range(max(0, end - 12), end - 1):
            if start in known and word[start:end] in _PARTS:
                known[end] = (*known[start], word[start:end])
                break
    whole = known.get(len(word), ())
    return whole if len(whole) > 1 else (word,)


_SAID_OF_ANY = {"value", "indicator", "observable", "ioc", "literal", "entity", "string", "hex"}


class Guess(NamedTuple):
    """``prop`` of a thing of that ``kind``; ``mods`` tell it from its like, ``parents`` counts generations."""

    kind: str
    prop: str
    mods: tuple[str, ...]
    parents: int = 0


@lru_cache(maxsize=16384)
def classify(path: tuple[str, ...]) -> Guess | None:
    """What the words of a path promise about the value; the value's own shape must agree."""
    while len(path) > 1 and path[-1] in _SAID_OF_ANY:
        path = path[:-1]
    if not path:
        return None
    last, before = path[-1], path[:-1]
    found = _by_pair(before, last) or _by_noun(path, before, last)
    if found is None:
        return None
    kind, prop, rest = found
    if kind == "file" and _noun(rest[:-1] if rest and rest[-1] in _NOUNS else rest) == "process":
        kind = "process"
    dropped = _DROPPED.get(kind, _FILLERS)
    mods = tuple(word for word in rest if word not in dropped and word not in _FILLERS and word not in _PARENTS)
    return Guess(kind, prop, mods, sum(_PARENTS.get(word, 0) for word in rest))


def _noun(before: tuple[str, ...]) -> str | None:
    """The kind of the nearest noun; what only says which one is passed over, any other word ends the search."""
    for word in reversed(before):
        if word in _NOUNS:
            return _NOUNS[word]
        if word not in _SKIPPED and word not in _FILLERS and word not in _HASHES:
            return None
    return "process" if any(word in _PARENTS for word in before) else None


_PAIRS = {
    ("command", "line"): ("process", "command_line"), ("line", "argument"): ("process", "command_line"),
    ("working", "folder"): ("process", "cwd"), ("current", "folder"): ("process", "cwd"),
    ("process", "id"): ("process", "pid"), ("process", "identifier"): ("process", "pid"),
    ("os", "pid"): ("process", "pid"), ("os", "name"): ("host", "os"), ("principal", "name"): ("account", "upn"),
    ("operating", "system"): ("host", "os"), ("process", "guid"): ("process", "key"),
    ("process", "uuid"): ("process", "key"), ("process", "uid"): ("process", "key"), ("full", "path"): ("file", "path"),
    ("file", "path"): ("file", "path"), ("folder", "path"): ("file", "folder"), ("file", "folder"): ("file", "folder"),
    ("user", "sid"): ("account", "uid"), ("file", "size"): ("file", "size"), ("orig", "p"): ("net", "port"),
    ("resp", "p"): ("net", "port"), ("user", "domain"): ("account", "domain"),
    ("account", "domain"): ("account", "domain"), ("logon", "domain"): ("account", "domain"),
}  # fmt: skip
_LONE = {"user": "account", "login": "account", "upn": "account", "host": "host", "computer": "host", "machine": "host",
         "workstation": "host", "process": "process", "file": "file",
         "attachment": "file", "domain": "domain", "fqdn": "domain", "sni": "domain", "query": "domain",
         "rrname": "domain"}  # fmt: skip
_TOLD_OF = {"contains", "is", "has", "count", "number", "num", "total", "type"}
_NAMES = {"process": "image", "file": "name", "account": "login", "host": "hostname", "domain": "value", "url": "value"}


def _by_pair(before: tuple[str, ...], last: str) -> tuple[str, str, tuple[str, ...]] | None:
    pair = _PAIRS.get((before[-1], last)) if before else None
    if pair is not None:
        kept = before if pair[0] == "net" else before[:-1]
        if pair[0] == "file":
            kept = before[:-1] if before[-1] != "full" or _noun(before[:-1]) != "process" else before
        return (*pair, kept)
    if last == "port":
        return "net", "port", before
    if last == "pid":
        return "process", "pid", before
    if last in {"protocol", "transport"}:
        return "net", "protocol", before
    if last == "cwd":
        return "process", "cwd", before
    if last == "command":
        return "process", "command", before
    return ("account", "uid", before) if last == "sid" else None


def _by_noun(  # noqa: C901  # one line a property
    path: tuple[str, ...], before: tuple[str, ...], last: str
) -> tuple[str, str, tuple[str, ...]] | None:
    if last in _HASHES:
        if any(word in _NO_FILE_HASH for word in path[-4:]):
            return None
        if "user" in before[-2:] or (not _HASHES[last] and before and not _says_file(before)):
            return None
        return ("process" if _noun(before) == "process" else "file"), f"hash{_HASHES[last] or ''}", before
    noun = _noun(before)
    if last == "name":
        if noun == "process" and "logon" in before:
            return None  # who vouches for a logon is no process
        if before and before[-1] in {"display", "full"} and _noun(before[:-1]) == "account":
            return "account", "display_name", before[:-1]
        if noun == "host" and any(_NOUNS.get(word) == "url" for word in before):
            return "domain", "value", before
        if noun == "domain" and before[-1] in {"dns", "domain"} and _noun(before[:-1]) == "host":
            noun = "host"
        return None if noun is None or noun == "url" else (noun, _NAMES[noun], before)
    if last == "path":
        return (noun or "file", "path", before) if noun in {"process", "file", None} else None
    if last == "id" and before[-1:] == ("alternate",) and _noun(before[:-1]) == "account":
        return "account", "login", before[:-1]
    if last in {"id", "uid", "guid", "uuid", "identifier"} and noun in {"process", "account", "host"}:
        if before[-1] in {"login", "logon", "account"}:
            return None  # a session's, or a customer's
        return noun, {"process": "pid", "account": "uid", "host": "uid"}[noun], before
    if last == "domain" and noun in {"account", "host"}:
        return noun, "domain", before
    if last == "fqdn" and noun == "host":
        return "host", "hostname", before
    if last == "size" and noun == "file":
        return "file", "size", before
    if last == "os" and (noun == "host" or not before):
        return "host", "os", before
    if last in {"image", "executable"}:
        return "process", "image_path", path  # a full path, or it is a container's image
    kind = _LONE.get(last)
    if kind == "host" and any(_NOUNS.get(word) in {"url", "domain"} for word in before):
        kind = "domain"
    if not _TOLD_OF.isdisjoint(before):
        return None
    if kind is None or (before and before[-1] in {"closing", "assigned", "last", "by", "closed"}):
        return None
    return kind, _NAMES[kind], path


def _says_file(before: tuple[str, ...]) -> bool:
    """A scenario's, an event's or a rule's hash is no file's."""
    if before[-1] in {"event", "alert", "raw"}:
        return False
    told = _FILLERS | _SKIPPED | _HASHES.keys() | _SAMPLES
    named = _noun(tuple(word for word in before if word != "path"))
    return named in {"file", "process"} or all(word in told for word in before)


def type_noun(text: str) -> str | None:
    """The word that a ``type`` beside a name or value gives it: ``#vendor.deviceEvidence`` is a host."""
    if len(text) > 64:
        return None
    found = [word for word in words(re.split(r"[.:#/]", text)[-1]) if word not in _FILLERS and word != "address"]
    return _TYPES.get(found[-1]) if found and len(found) < 3 else None

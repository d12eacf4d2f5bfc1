"""One line of text to a document: CEF, LEEF, an alert as JSON behind a syslog header, or plain text.

Sources: Common Event Format (implementation standard, rev. 25), Log Event Extended Format 1.0 and 2.0, RFC 5424,
RFC 3164.
A reader of documents finds ``syslog`` (the header), and beside it ``cef`` and ``extension``, or ``leef`` and
``attributes``, or the JSON's own keys, or ``message``.
"""

import re
from typing import Any

import orjson

__all__ = ["is_line", "read_line"]

_PRIORITY = re.compile(r"<(\d{1,3})>")
_RFC5424 = re.compile(r"1 (\S+) (\S+) (\S+) (\S+) (\S+) (-|(?:\[(?:[^\]\\]|\\.)*\])+) ?")
_RFC3164 = re.compile(
    r"((?:[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d)"
    r"|(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?))"
    r"(?: ([A-Za-z0-9._:-]+))?(?: ([A-Za-z0-9_./-]+)(?:\[(\d+)\])?:)? ?"
)
_NAMES_5424 = ("timestamp", "host", "app", "pid", "msgid", "data")
_NAMES_3164 = ("timestamp", "host", "app", "pid")
_CEF_HEADER = ("version", "device_vendor", "device_product", "device_version", "signature_id", "name", "severity")
_LEEF_HEADER = ("version", "vendor", "product", "product_version", "event_id")
_CEF_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z_][\w.\[\]:-]*)=")
_CUSTOM = re.compile(r"^(.+?)Label$")
_DELIMITERS = {"\\t": "\t", "": "\t"}


def is_line(text: str) -> bool:
    """True for one line that is not JSON itself."""
    stripped = text.strip()
    return bool(stripped) and stripped[0] not in '{["' and "\n" not in stripped


def read_line(text: str) -> dict[str, Any]:
    """The document of a line; never fails: what has no form is a ``message``."""
    text = text.strip()
    start = _found(text, "CEF:")
    if start >= 0:
        return {**_syslog(text[:start]), **_cef(text[start + 4 :])}
    start = _found(text, "LEEF:")
    if start >= 0:
        return {**_syslog(text[:start]), **_leef(text[start + 5 :])}
    header, rest = _split(text)
    at = rest.find("{")
    if at >= 0:
        try:
            document = orjson.loads(rest[at:])
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict):
            before = rest[:at].strip()
            return {**document, "syslog": {**header, **({"message": before} if before else {})}}
    return {**({"syslog": header} if header else {}), "message": rest}


def _found(text: str, mark: str) -> int:
    """Where a header begins: at the start or behind a blank, with a version and a bar."""
    match = re.search(rf"(?:^|(?<=[\s:])){mark}\s?\d+(?:\.\d+)?\|", text)
    return match.start() if match and "{" not in text[: match.start()] else -1


def _syslog(text: str) -> dict[str, Any]:
    header, rest = _split(text.strip() + " ")
    if rest.strip():
        header = {**header, "message": rest.strip()}
    return {"syslog": header} if header else {}


def _split(text: str) -> tuple[dict[str, Any], str]:
    """(the parts of a syslog header, the rest)."""
    header: dict[str, Any] = {}
    priority = _PRIORITY.match(text)
    if priority:
        header["priority"] = int(priority[1])
        text = text[priority.end() :]
    modern = _RFC5424.match(text) if priority else None
    match = modern or _RFC3164.match(text)
    if match is None:
        return header, text
    names = _NAMES_5424 if modern else _NAMES_3164
    header |= {name: value for name, value in zip(names, match.groups(), strict=True) if value and value != "-"}
    return header, text[match.end() :]


def _fields(text: str, count: int) -> tuple[list[str], str]:
    r"""``count`` header fields, ``\|`` and ``\\`` undone, and what follows the last bar."""
    fields: list[str] = []
    current: list[str] = []
    at = 0
    while at < len(text) and len(fields) < count:
        mark = text[at]
        if mark == "\\" and at + 1 < len(text) and text[at + 1] in "|\\":
            current.append(text[at + 1])
            at += 2
            continue
        if mark == "|":
            fields.append("".join(current))
            current = []
        else:
            current.append(mark)
        at += 1
    if len(fields) < count and current:
        fields.append("".join(current))
    return fields, text[at:]


def _cef(text: str) -> dict[str, Any]:
    fields, rest = _fields(text, len(_CEF_HEADER))
    header = {name: value.strip() for name, value in zip(_CEF_HEADER, fields, strict=False) if value.strip()}
    pairs = _cef_pairs(rest)
    custom: dict[str, Any] = {}
    for key in [key for key in pairs if key.endswith("Label")]:
        match = _CUSTOM.match(key)
        # A label may have been another label's own field (cs1LabelLabel), and is gone then.
        if match and key in pairs and match[1] in pairs and pairs[key] not in custom:
            # The label says what the customer's own field holds: it stands under that name.
            custom[str(pairs.pop(key))] = pairs.pop(match[1])
    return {"cef": header, "extension": pairs, **({"custom": custom} if custom else {})}


def _cef_pairs(text: str) -> dict[str, Any]:
    r"""``key=value`` pairs; a value ends where the next key begins; ``\=``, ``\\``, ``\n``, ``\r`` are undone."""
    text = text.strip()
    marks = list(_CEF_KEY.finditer(text))
    pairs: dict[str, Any] = {}
    for number, match in enumerate(marks):
        end = marks[number + 1].start() if number + 1 < len(marks) else len(text)
        value = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text[match.end() : end])
        if value.strip():
            pairs[match[1]] = value.strip()
    if marks and text[: marks[0].start()].strip():
        pairs["_before"] = text[: marks[0].start()].strip()
    elif not marks and text:
        pairs["_before"] = text
    return pairs


def _leef(text: str) -> dict[str, Any]:
    version = text.partition("|")[0].strip()
    count = len(_LEEF_HEADER) + (1 if version.startswith("2") else 0)
    fields, rest = _fields(text, count)
    header = {name: value.strip() for name, value in zip(_LEEF_HEADER, fields, strict=False) if value.strip()}
    delimiter = fields[5].strip() if count > len(_LEEF_HEADER) and len(fields) == count else ""
    if count > len(_LEEF_HEADER) and "=" in delimiter:
        # LEEF 2.0 without its sixth field: what stood there is the first attributes.
        delimiter, rest = "", f"{fields[5]}|{rest}" if rest else fields[5]
    if re.fullmatch(r"(?:0?x|\\x|\\u)[0-9A-Fa-f]{1,4}", delimiter):
        delimiter = chr(int(delimiter.lstrip("0\\").lstrip("xu"), 16))
    delimiter = _DELIMITERS.get(delimiter, delimiter)
    if delimiter not in rest and "\t" not in rest:
        return {"leef": header, "attributes": _cef_pairs(rest)}
    attributes = {}
    for part in rest.split(delimiter if delimiter in rest else "\t"):
        key, mark, value = part.partition("=")
        if mark and key.strip() and value.strip():
            attributes[key.strip()] = value.strip()
        elif part.strip():
            attributes["_before"] = f"{attributes.get('_before', '')} {part.strip()}".strip()
    return {"leef": header, "attributes": attributes}

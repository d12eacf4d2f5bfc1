"""What the shape of a value says where no mapping does: addresses, names, hashes, times, severities; also inside texts.

Pure functions, linear in the length of the text; every expression is bounded or anchored so that no text is slow.
"""

import email.utils
import ipaddress
import re
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from nightdesk.stix import attack, values
from nightdesk.stix.guessing import words
from nightdesk.stix.reading import as_integer

__all__ = [
    "Silent",
    "address_part",
    "digests_in",
    "fit",
    "guessed_time",
    "is_common",
    "is_path",
    "is_sid",
    "known_domain",
    "mail",
    "pairs",
    "severity_word",
    "techniques_in",
    "tokens",
]

_PORTED = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|(\d{1,3}(?:\.\d{1,3}){3})):(\d{1,5})")
_VERSIONED = {"version", "build", "ver", "release", "firmware", "revision", "oid", "engine", "signature"}
# Extensions of files that are no top-level domain: ``evil.exe`` is no name that anybody resolved.
_EXTENSIONS = frozenset({
    "exe", "dll", "sys", "ps1", "psm1", "psd1", "bat", "cmd", "vbs", "vbe", "js", "jse", "wsf", "hta", "scr", "lnk",
    "json", "xml", "txt", "log", "tmp", "dat", "ini", "cfg", "conf", "config", "bin", "msi", "doc", "docx", "docm",
    "xls", "xlsx", "xlsm", "ppt", "pptx", "pptm", "pdf", "rtf", "csv", "html", "htm", "php", "asp", "aspx", "jsp",
    "jar", "class", "war", "rar", "7z", "gz", "tar", "iso", "img", "png", "jpg", "jpeg", "gif", "bmp", "svg", "ico",
    "mp3", "mp4", "avi", "cab", "ocx", "cpl", "drv", "reg", "yml", "yaml", "toml", "sql", "db", "sqlite", "bak",
    "old", "pyc", "elf", "dmg", "pkg", "deb", "rpm", "apk", "vhd", "vmdk", "ova", "eml", "msg", "pcap", "evtx", "etl",
    "key", "pem", "crt", "cer", "p12", "pfx", "ioc", "gen", "variant", "localdomain",
})  # fmt: skip
_LOCAL = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_TECHNIQUE = re.compile(r"(?<![A-Za-z0-9])[Tt](\d{4})(?:[./](\d{3}))?(?![A-Za-z0-9])")
_TOKEN = re.compile(r"[^\s\"'<>(){}\[\],;|`]{3,2048}")
_PAIR = re.compile(r"(?:^|(?<=[\s,;|(\[{\"]))([A-Za-z_][A-Za-z0-9_.-]{0,63})=")
_DIGEST = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})(?![0-9A-Fa-f])")
_SAYS_HASH = re.compile(
    r"(?i)(?:\b(?:md5|sha-?1|sha-?256|hash(?:es)?|checksum)\b[^0-9A-Za-z]{0,4}(?:\w{1,12}[^0-9A-Za-z]{1,3}){0,2})$"
)
_ZONELESS = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)")
_SEVERITIES = {
    "informational": "informational", "info": "informational", "information": "informational", "low": "low",
    "minor": "low", "medium": "medium", "med": "medium", "moderate": "medium", "high": "high", "major": "high",
    "severe": "high", "critical": "critical", "crit": "critical", "fatal": "fatal",
}  # fmt: skip


def address_part(text: str, path: tuple[str, ...]) -> tuple[str, int | None] | None:
    """(address, port) when the whole text is an address, with or without a port, and its key is no version's."""
    if len(text) > 52 or not (":" in text or text.count(".") == 3) or not _VERSIONED.isdisjoint(path[-2:]):
        return None
    if values.address(text) is not None:
        return text, None
    ported = _PORTED.fullmatch(text)
    if ported is not None and values.address(ported[1] or ported[2]) is not None and int(ported[3]) <= 65535:
        return ported[1] or ported[2], int(ported[3])
    bare, slash, bits = text.rpartition("/")
    return (bare, None) if slash and bits in {"32", "128"} and values.address(bare) is not None else None


def is_common(text: str) -> bool:
    """True of an address that everybody has: loopback, unspecified, multicast, link-local."""
    known = values.address(text)
    if known is None:
        return False
    parsed = ipaddress.ip_address(known[1])
    return parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast or parsed.is_link_local


def known_domain(text: str) -> str | None:
    """A domain name that is no file name."""
    found = values.domain(text) if len(text) < 256 and "." in text else None
    return None if found is None or found.rpartition(".")[2] in _EXTENSIONS else found


def mail(text: str) -> str | None:
    """A mail address that every reader of STIX takes (stix2-validator 3.3.2 knows no others), in A-labels."""
    local, _, host = text.rpartition("@")
    found = known_domain(host) if _LOCAL.fullmatch(local) else None
    return f"{local}@{found}" if found else None


def techniques_in(text: str) -> list[str]:
    """Every ATT&CK id in a text, also as in MITRE's own addresses (``T1059/001``), that the table knows."""
    spelled = (f"T{found[1]}.{found[2]}" if found[2] else f"T{found[1]}" for found in _TECHNIQUE.finditer(text))
    return [found for found in dict.fromkeys(spelled) if attack.technique(found) is not None]


def digests_in(text: str) -> list[str]:
    """Hashes in a free text: only where the text itself says so just before (a container's id has the same shape)."""
    found = (
        match for match in _DIGEST.finditer(text) if _SAYS_HASH.search(text[max(0, match.start() - 40) : match.start()])
    )
    return [match[0] for match in found]


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """(``url`` | ``address``, value) of a free text, cautiously: no names, and no IPv6 that could be something else."""
    for match in _TOKEN.finditer(text):
        token = match[0].rstrip(".:!?").rpartition("=" if "://" not in match[0] else "\0")[2]
        if token[:8].lower().startswith(("http://", "https://", "ftp://")):
            yield "url", token
        elif token.count(".") == 3 or token.count(":") >= 3:
            found = address_part(token, ())
            if found is not None:
                yield "address", found[0]


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """``key=value`` of a free text; what is not quoted ends at the first blank."""
    for match in _PAIR.finditer(text):
        rest = text[match.end() : match.end() + 512]
        quote = rest[:1]
        if quote in {'"', "'"}:
            value, closed, _ = rest[1:].partition(quote)
            yield match[1], value if closed else ""
        else:
            yield match[1], re.split(r"[\s,;|\"]", rest, maxsplit=1)[0]


def severity_word(text: str) -> str | None:
    """Our word for a severity, when the text has exactly one such word (``4 - High``, ``SEVERITY_HIGH``)."""
    if len(text) > 40:
        return None
    parts = re.fullmatch(r"\s*(\d{1,3})(?:\.\d+)?\s*/\s*(10|100)\s*", text)
    if parts:
        share = int(parts[1]) * 100 // int(parts[2])
        return next(
            (word for least, word in ((90, "critical"), (70, "high"), (40, "medium"), (1, "low")) if share >= least),
            None,
        )
    found = {_SEVERITIES[word] for word in words(text) if word in _SEVERITIES}
    return found.pop() if len(found) == 1 else None


def guessed_time(value: Any) -> tuple[datetime, bool] | None:
    """(moment, certain): a text without a zone is read as UTC, and that is a guess."""
    if value.__class__ is int or value.__class__ is float:
        moment = values.epoch(repr(value)) if value > 10**8 else None
        return (moment, True) if moment else None
    if not isinstance(value, str) or not 9 <= len(value) <= 48:
        return None
    text = value.strip()
    for mark in (" UTC", " GMT"):
        text = text.removesuffix(mark) + "Z" if text.endswith(mark) and text[:4].isdigit() else text
    moment = values.parse_time(text)
    if moment is not None:
        return moment, True
    zoneless = _ZONELESS.fullmatch(text)
    if zoneless:
        moment = values.moment(f"{zoneless[1]}-{zoneless[2]}-{zoneless[3]}T{zoneless[4]}Z")
        return (moment, False) if moment else None
    if text[3:5] == ", ":
        try:
            parsed = email.utils.parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        sure = parsed.tzinfo is not None
        moment = values.moment((parsed if sure else parsed.replace(tzinfo=UTC)).isoformat())
        return (moment, sure) if moment else None
    return None


# Values of one property of a thing.

_LONGEST_COMMAND = 32768
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[^\x00-\x20\x7f/\\:@,;\"<>|{}=\[\]*?][^\x00-\x1f\x7f/\\:@,;\"<>|{}=\[\]*?]{0,252}")
_PLACEHOLDERS = {"", "-", "n/a", "na", "none", "null", "(null)", "nil", "unknown", "undefined", "redacted", "true",
                 "false", "yes", "no", "notavailable", "not available", "localhost", "*"}  # fmt: skip
_SID = re.compile(r"S-1-\d+(-\d+){1,14}")
_PATH = re.compile(r"(?:[A-Za-z]:[\\/]|\\|/|\.{1,2}[\\/]|~[\\/]|%\w+%\\)[^\x00-\x1f]{1,1023}")


def fit(kind: str, prop: str, value: Any) -> Any:
    """The value as that property takes it; None when its shape says that the guess was wrong."""
    made = _FIT.get((kind, prop.rstrip("0123456789")))
    return made(value) if made else _fit_text(value)


def is_path(text: str) -> bool:
    """True of what begins as only paths do."""
    return _PATH.fullmatch(text) is not None


def is_sid(text: str) -> bool:
    """True of a Windows security identifier."""
    return _SID.fullmatch(text) is not None


def _fit_text(value: Any) -> str | None:
    """One line that says something."""
    if value.__class__ is not str or len(value) > 1024 or _CONTROL.search(value):
        return None
    text = value.strip()
    return None if text.lower() in _PLACEHOLDERS else text


def _fit_command(value: Any) -> str | None:
    if value.__class__ is not str or not 0 < len(value) <= _LONGEST_COMMAND:
        return None
    return None if value.strip().lower() in _PLACEHOLDERS else value


def _fit_vague_command(value: Any) -> str | None:
    text = _fit_command(value)
    return text if text is not None and len(text) > 3 and any(mark in text.strip() for mark in " /\\") else None


def _fit_login(value: Any) -> str | None:
    text = _fit_text(value)
    if text is None or len(text) > 256 or text[:1] in "{[<":
        return None
    text = text.rstrip("\\").replace("\\\\", "\\")
    return text if text and any(letter.isalnum() for letter in text) else None


def _fit_system(value: Any) -> str | None:
    text = _fit_text(value)
    return text if text is not None and text[:1].isalpha() and not text.lower().startswith("version") else None


def _fit_uid(value: Any) -> str | None:
    text = _fit_text(value)
    return text if text is not None and 3 < len(text) <= 256 and text.strip("0-{}") else None


def _fit_host(value: Any) -> str | None:
    text = _fit_text(value)
    text = text.rpartition("\\")[2] if text is not None and text.count("\\") == 1 else text
    if text is None or values.address(text) is not None or not _HOST.fullmatch(text):
        return None
    return text if any(letter.isalnum() for letter in text) else None


def _fit_file(value: Any) -> str | None:
    text = _spelled_path(_fit_text(value) or "")
    plain = "://" not in text and any(letter.isalnum() for letter in text) and values.address(text) is None
    return text if plain else None


def _fit_path(value: Any) -> str | None:
    text = _spelled_path(_fit_text(value) or "")
    return text if is_path(text) else None


def _spelled_path(text: str) -> str:
    """A path as its system writes it: not as a URL, and escaped at most once."""
    if text[:8].lower() == "file:///":
        plain = urllib.parse.unquote(text[8:])
        return plain if plain[1:2] == ":" else f"/{plain}"
    return text.replace("\\\\", "\\") if text[1:4] == ":\\\\" else text


def _fit_hash(value: Any) -> str | None:
    return value.strip() if value.__class__ is str and values.hash_name(value[:256]) is not None else None


class Silent:
    """Takes no reports: where everything is guessed, a guess that was wrong is no fault of the payload."""

    def problem(self, pointer: str, wanted: str, found: Any) -> None:
        """Nothing is noted; a value that became nothing is kept as it is, or is in the loss report."""


def _fit_port(value: Any) -> int | None:
    number = _whole(value)
    return number if number is not None and number <= 65535 else None


def _whole(value: Any) -> int | None:
    if value.__class__ is bool or value.__class__ is list:
        return None
    number = as_integer(value, "", Silent())
    return number if number is not None and 0 <= number < 2**53 else None


def _fit_pid(value: Any) -> int | str | None:
    number = _whole(value)
    if number is not None:
        return number if 0 < number < 2**32 else None
    text = _fit_uid(value)
    return text if text is not None and len(text) >= 8 else None


def _fit_protocol(value: Any) -> str | None:
    text = str(value).strip() if value.__class__ in {str, int} else ""
    return text if 0 < len(text) <= 32 else None


_FIT: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("process", "command_line"): _fit_command, ("process", "command"): _fit_vague_command,
    ("process", "pid"): _fit_pid, ("process", "cwd"): _fit_path, ("process", "image"): _fit_file,
    ("process", "name"): _fit_file, ("process", "path"): _fit_file, ("process", "image_path"): _fit_path,
    ("process", "folder"): _fit_path, ("process", "hash"): _fit_hash, ("process", "size"): _whole,
    ("process", "key"): _fit_uid, ("file", "hash"): _fit_hash, ("file", "name"): _fit_file,
    ("file", "path"): _fit_path, ("file", "folder"): _fit_path, ("file", "size"): _whole,
    ("account", "login"): _fit_login, ("account", "upn"): _fit_login, ("account", "uid"): _fit_uid,
    ("host", "hostname"): _fit_host, ("host", "uid"): _fit_uid, ("host", "os"): _fit_system,
    ("net", "port"): _fit_port, ("net", "protocol"): _fit_protocol,
}  # fmt: skip

"""One name under the ways it can be written: so that what a rule protects is not missed for a dot, a width or a script.

Nothing here decides what a thing is; two names that fold to the same are taken for one where that is the cautious
answer, and nowhere else.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from urllib.parse import urlsplit

__all__ = ["a_labels", "account_name", "ends_in_number", "has_unseen", "plain", "url_host", "words"]

_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
"""What IDNA reads as the dot between labels (RFC 3490, section 3.1)."""
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[a-z0-9]+")
_NUMBER = re.compile(r"^(?:\d+|0x[0-9a-f]*)$")


@lru_cache(maxsize=16384)
def plain(text: str) -> str:
    """The name or pattern without case, width, signs that nobody sees, the root's dot, and with its own letters."""
    if text.isascii() and "xn--" not in text.lower():
        return text.casefold().rstrip(".")
    return ".".join(_own_letters(label) for label in _folded(text).rstrip(".").split("."))


@lru_cache(maxsize=4096)
def a_labels(domain: str) -> str:
    """A domain as the name service is asked for it: each label with other letters as ``xn--…`` (RFC 3492)."""
    return ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in plain(domain).split(".")
    )


def account_name(text: str) -> str:
    r"""The account without its realm: ``jdoe`` of ``CORP\JDoe`` and of ``jdoe@corp.example.com``."""
    name = re.split(r"[\\/]", text.strip())[-1]
    return plain(name.partition("@")[0] or name)


def url_host(url: str) -> str:
    """The host that a URL leads to, without the root's dot; empty where it has none or cannot be read."""
    try:
        return (urlsplit(url if "://" in url else f"//{url}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def ends_in_number(host: str) -> bool:
    """Whether browsers read it as an IPv4 address, however it is written (WHATWG URL, section 3.5)."""
    return _NUMBER.match(plain(host).rpartition(".")[2]) is not None


def has_unseen(text: str) -> bool:
    """Whether there are signs in it that nobody sees: control and format characters."""
    return any(unicodedata.category(sign) in {"Cc", "Cf"} for sign in text)


@lru_cache(maxsize=4096)
def words(tag: str) -> frozenset[str]:
    """The words of a tag, alone and in pairs, one of them or many: ``DomainControllers`` has ``domain-controller``."""
    found: set[str] = set()
    for text in {tag, _CAPITAL.sub("-", tag)}:
        single = _WORD.findall(text.lower())
        pairs = [f"{first}-{second}" for first, second in pairwise(single)]
        found.update(one for word in (*single, *pairs) for one in _numbers(word))
    return frozenset(found)


def _numbers(word: str) -> tuple[str, ...]:
    """The word, and what it would be the plural of."""
    return word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y"


def _folded(text: str) -> str:
    seen = "".join(sign for sign in text.translate(_DOTS) if unicodedata.category(sign) != "Cf")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold()).translate(_DOTS)


def _own_letters(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return _folded(label[4:].encode("ascii").decode("punycode"))
    except (UnicodeError, ValueError):
        return label

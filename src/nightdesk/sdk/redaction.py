"""Keeps secrets out of text that others wrote: whatever was used as a secret is replaced before anyone reads it."""

import json
from urllib.parse import quote, quote_plus

__all__ = ["Redactor"]

_MASK = "***"
_REMEMBERED = 64  # values; tokens are renewed for ever, so the oldest go


class Redactor:
    """Knows the secrets in use; ``clean`` makes a vendor's text fit for a log: masked, one line, capped."""

    def __init__(self) -> None:
        self._spellings: dict[str, tuple[str, ...]] = {}

    def learn(self, *values: str) -> None:
        """Remembers secrets, also as they look inside a URL, a form or JSON."""
        for value in filter(None, values):
            self._spellings.pop(value, None)
            # "replace": an undecodable environment variable holds surrogates, which no URL can.
            urls = (quote(value, safe="", errors="replace"), quote_plus(value, errors="replace"))
            spellings = {value, *urls, json.dumps(value)[1:-1], repr(value)[1:-1]}
            self._spellings[value] = tuple(spellings)
        while len(self._spellings) > _REMEMBERED:
            del self._spellings[next(iter(self._spellings))]

    def mask(self, text: str) -> str:
        """The text without any known secret, else unchanged."""
        known = {spelling for spellings in self._spellings.values() for spelling in spellings}
        for spelling in sorted(known, key=len, reverse=True):
            text = text.replace(spelling, _MASK)
        return text

    def clean(self, text: str, limit: int = 200) -> str:
        """One printable line without secrets, at most ``limit`` characters."""
        # Masked before the line is folded, because folding changes a secret with spaces; and after, because folding
        # can put one together. Cut last, or half a secret would be left over.
        folded = " ".join("".join(letter if letter.isprintable() else " " for letter in self.mask(text)).split())
        line = self.mask(folded)
        return line if len(line) <= limit else f"{line[: limit - 1]}…"

    def __repr__(self) -> str:
        return f"Redactor({len(self._spellings)} secrets)"

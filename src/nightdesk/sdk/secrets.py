"""Secrets by reference: a configuration names where a secret lies, and nothing ever prints it.

References: ``env:NAME`` (environment variable), ``file:PATH`` (first line of a file, final newline dropped).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Secret"]


class Secret:
    """A reference to a secret; ``reveal()`` reads it at the moment of use, ``repr`` shows only the reference."""

    __slots__ = ("_literal", "reference")

    def __init__(self, reference: str, *, _literal: str | None = None) -> None:
        kind, _, name = reference.partition(":")
        if _literal is None and (kind not in {"env", "file"} or not name):
            # The value itself may have been written here by mistake: never repeat it.
            raise ConfigError([Problem("secret", "", "write env:NAME or file:PATH, never the secret itself")])
        self.reference = reference
        self._literal = _literal

    @classmethod
    def literal(cls, value: str) -> "Secret":
        """A secret held in memory, for simulators and tests; it has no reference to store."""
        return cls("literal:***", _literal=value)

    def reveal(self, environ: Mapping[str, str] | None = None) -> str:
        """The secret itself. Raises ConfigError when the reference leads nowhere."""
        if self._literal is not None:
            return self._literal
        kind, _, name = self.reference.partition(":")
        if kind == "env":
            value = (os.environ if environ is None else environ).get(name)
            if not value:
                raise ConfigError([Problem("environment", name, "is not set; set it or change the reference")])
            return value
        try:
            text = Path(name).read_text(encoding="utf-8-sig")  # some editors write a mark before the first letter
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([Problem(name, "", f"secret file cannot be read: {type(error).__name__}")]) from error
        # The first line, as editors end files with a break; a key in PEM is several lines.
        value = text.strip() if text.lstrip().startswith("-----BEGIN ") else text.partition("\n")[0].rstrip("\r")
        if not value:
            raise ConfigError([Problem(name, "", "secret file is empty")])
        return value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.reference, self._literal) == (other.reference, other._literal)

    def __hash__(self) -> int:
        return hash((self.reference, self._literal))

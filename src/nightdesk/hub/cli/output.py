"""How commands speak: tables for people, one JSON document with ``--json``, errors that say what to do."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem

__all__ = ["ConfigFile", "Json", "TenantName", "draw_into", "emit", "fail", "plain", "table", "troubles"]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
TenantName = Annotated[str, typer.Option("--tenant", help="Whose data; there is no default.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="The configuration file.")]


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def emit(document: Any) -> None:
    """The one JSON document of a command."""
    sys.stdout.write(json.dumps(plain(document), indent=1, ensure_ascii=False, default=str) + "\n")


def draw_into(file: Path, drawn: str | bytes) -> None:
    """Writes what a command drew for ``--svg``. Raises ConfigError when it cannot."""
    try:
        file.write_bytes(drawn.encode() if isinstance(drawn, str) else drawn)
    except OSError as error:
        told = f"cannot be written ({error.strerror}): name another file"
        raise ConfigError([Problem("--svg", str(file), told)]) from error


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on the terminal; what comes from alerts is printed as text, never as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(visible(str(cell))) for cell in row))
    Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200).print(made)


def visible(text: str) -> str:
    """Control and direction characters shown as escapes: an alert must not steer a terminal."""
    return "".join(
        char if char.isprintable() and not 0x202A <= ord(char) <= 0x202E and not 0x2066 <= ord(char) <= 0x2069
        else f"\\u{ord(char):04x}"
        for char in text
    )  # fmt: skip


def fail(message: str, *, code: int = 1, as_json: bool = False, problems: Sequence[Any] = ()) -> NoReturn:
    """Ends the command with a message on standard error (and as JSON on standard output)."""
    if as_json:
        emit({"error": message, "problems": list(problems)})
    sys.stderr.write(f"nightdesk: {message}\n")
    raise typer.Exit(code)


@contextmanager
def troubles(as_json: bool) -> Iterator[None]:
    """Turns what went wrong on purpose into a message and exit code 2 (configuration) or 1."""
    try:
        yield
    except ConfigError as error:
        text = "\n  ".join(str(problem) for problem in error.problems)
        problems = [asdict(problem) for problem in error.problems]
        fail(f"{len(error.problems)} to mend\n  {text}", code=2, as_json=as_json, problems=problems)
    except NightdeskError as error:
        fail(str(error), as_json=as_json)

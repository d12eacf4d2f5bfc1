"""Where the store is, read from a configuration whose rest may be broken: stopping must not wait for a valid file."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import yaml

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Whereabouts", "store_url", "whereabouts"]


class Whereabouts(NamedTuple):
    """The store's URL and the slugs of the tenants."""

    store: str
    tenants: Collection[str]


def whereabouts(path: Path) -> Whereabouts:
    """What the file says of both; nothing else of it is looked at. Raises ConfigError when it does not say."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    tenants = data.get("tenants") if isinstance(data, dict) else None
    store = data.get("store", "sqlite:///nightdesk.db") if isinstance(data, dict) else None
    if not isinstance(tenants, dict) or not isinstance(store, str):
        raise ConfigError([Problem(str(path), "tenants", "names no tenants, or no store")])
    return Whereabouts(store_url(store, path.resolve().parent), [str(name) for name in tenants])


def store_url(url: str, folder: Path) -> str:
    """A relative SQLite path is relative to the configuration, wherever the command was started."""
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/") and url != prefix + ":memory:":
        return f"{prefix}{folder / url.removeprefix(prefix)}"
    return url

"""Opens the configuration and the store for a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightdesk.hub.config import HubSettings, load_config
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["opened"]


@contextmanager
def opened(config: Path, tenant: str) -> Iterator[tuple[HubSettings, Store]]:
    """The settings and the open store. Raises ConfigError, also when the tenant is not configured."""
    settings = load_config(config, Registry.load())
    if tenant not in settings.tenants:
        there = ", ".join(settings.tenants)
        raise ConfigError([Problem(str(config), "tenants", f"no tenant {tenant!r}; there are {there}")])
    store = Store.open(settings.store)
    try:
        yield settings, store
    finally:
        store.close()

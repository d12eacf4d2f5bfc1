"""A hub in a process of its own, with small pages, until somebody kills it: ``killed_hub.py CONFIG``."""

import asyncio
import sys
from pathlib import Path

from nightdesk.hub import feeds
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store


def main() -> None:
    setattr(feeds, "_PAGE", 40)  # noqa: B010  # many commits, so that many of them can be hit
    registry = Registry.load(strangers=False)
    settings = load_config(Path(sys.argv[1]), registry)
    store = Store.open(settings.store)
    hub = Hub(settings, registry, store)
    step = hub.pipeline.step
    hub.pipeline.step = lambda *, limit=30: step(limit=limit)  # type: ignore[method-assign]  # small pages here too
    asyncio.run(hub.run())


if __name__ == "__main__":
    main()

"""Which channel a name stands for: the configuration says it, because looking names up takes a scope of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nightdesk.connectors.slack.client import VENDOR
from nightdesk.sdk.errors import ConfigError, NotFoundError, Problem, RejectedError, UnsupportedError

__all__ = ["Place", "Places"]

_CHANNEL = re.compile(r"[CGD][A-Z0-9]{5,}")
_USER = re.compile(r"[UW][A-Z0-9]{5,}")
_THREAD = re.compile(r"\d+\.\d{6}")


@dataclass(frozen=True, slots=True)
class Place:
    """A channel by its id, and the thread in it (the ``ts`` of its parent, a text and never a number) or none."""

    channel: str
    thread: str = ""


class Places:
    """Names of channels. ``named`` is the setting: ``soc-alerts=C0123456789, night=C0123456780``."""

    def __init__(self, named: str, instance: str) -> None:
        pairs = [part.partition("=") for part in named.split(",") if part.strip()]
        self.named: Mapping[str, str] = {name.strip().lstrip("#"): channel.strip() for name, _, channel in pairs}
        wrong = [name for name, channel in self.named.items() if not _CHANNEL.fullmatch(channel)]
        if wrong:
            problem = f"{wrong[0]!r} has no channel id; write name=C0123456789, separated by commas"
            raise ConfigError([Problem(instance, "channels", problem)])

    def of(self, text: str) -> Place:
        """The place of ``name``, ``id``, or either with ``/ts`` of a thread. Raises NotFoundError for another name."""
        name, _, thread = text.partition("/")
        name = name.strip().lstrip("#")
        if _USER.fullmatch(name):
            raise UnsupportedError(f"{text}: messages go to channels; name the channel id (D…) of a direct message")
        if thread and not _THREAD.fullmatch(thread):
            raise RejectedError(f"{text}: a thread is the ts of its first message, like 1700000000.000100")
        channel = name if _CHANNEL.fullmatch(name) else self.named.get(name)
        if channel is None:
            there = ", ".join(self.named) or "none"
            raise NotFoundError(
                f"no channel is configured as {name!r} (there are: {there}); add it to channels with its id",
                vendor=VENDOR,
                operation="find channel",
            )
        return Place(channel, thread)

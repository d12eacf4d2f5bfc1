"""The webhook: who posted it, then one record an alert."""

from collections.abc import Mapping

from nightdesk.connectors.webhook.bodies import cut
from nightdesk.connectors.webhook.signatures import Proof
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, UnsupportedError
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Batch

__all__ = ["Connector"]

_STREAM = "posts"


class Connector:
    """One sender, or several that share a secret."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._proof = Proof(settings, context.clock)
        self._product = settings.text("product", "auto")
        self._path = tuple(step for step in settings.text("records").split(".") if step)

    async def aclose(self) -> None:
        """Nothing is open."""

    def receive(self, stream: str, headers: Mapping[str, str], body: bytes) -> Batch:
        """The alerts of one post; nothing is read of what nobody vouches for."""
        if stream != _STREAM:
            raise UnsupportedError(f"webhook: no stream {stream!r}; there is {_STREAM}")
        self._proof.check(headers, body)
        return cut(body, path=self._path, product=self._product)

    async def check_health(self) -> Health:
        """Whether the secrets can be read: nothing else is ours to look at."""
        try:
            self._proof.keys()
        except ConfigError as error:
            return Health(False, tuple(str(problem) for problem in error.problems))
        return Health(True)

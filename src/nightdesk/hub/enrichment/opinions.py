"""What a bound source of intelligence thinks of one thing, asked for by the connector's own port."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

from nightdesk.autonomy.enrichment.gate import inside
from nightdesk.autonomy.sharing import TLP, strictest
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.enrichment import Fact, IntelFact
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.manifest import Audience, Manifest
from nightdesk.sdk.ports import Enriches, Opinion
from nightdesk.sdk.targets import Target

__all__ = ["Opinions"]

_VERDICTS = ("malicious", "suspicious", "benign", "unknown")
_SAME = frozenset({EntityKind.ADDRESS, EntityKind.DOMAIN, EntityKind.URL, EntityKind.FILE})


class Opinions:
    """One bound instance. What is inside the tenant's network is not asked about: nobody outside could know it."""

    def __init__(self, connector: Callable[[], Any], manifest: Manifest, shares: Audience | None) -> None:
        """``connector`` builds it at its first use."""
        self.audience: Audience = shares or manifest.shares
        self.kinds = frozenset(kind for kind in _SAME if TargetKind(kind.value) in manifest.enriches)
        self._connector = connector
        self._vendor = manifest.vendor

    async def aclose(self) -> None:
        """The connector is the binding's to close."""

    async def look_up(self, entity: Entity) -> Sequence[Fact]:
        """What it thinks; nothing of what is inside."""
        if inside(entity):
            return ()
        connector = self._connector()
        if not isinstance(connector, Enriches):
            raise UnsupportedError(f"{self._vendor}: has opinions by its manifest, and its connector has none")
        found = await connector.enrich(Target(TargetKind(entity.kind.value), entity.value))
        return [_fact(one) for one in found]


def _fact(opinion: Opinion) -> IntelFact:
    verdict = opinion.verdict if opinion.verdict in _VERDICTS else "unknown"
    return IntelFact(
        verdict=cast("Literal['malicious', 'suspicious', 'benign', 'unknown']", verdict),
        by=opinion.source,
        count=opinion.hits,
        newest=opinion.newest,
        confidence=opinion.score,
        tlp=strictest(TLP, *opinion.markings) if opinion.markings else "",
        labels=opinion.labels,
        link=opinion.link,
    )

"""The Wazuh indexer: searches over OpenSearch's REST API, as a user who may only read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ResponseError, ScopeError, UnavailableError
from nightdesk.sdk.http import BasicAuth, HttpClient
from nightdesk.sdk.verbatim import cut

__all__ = ["VENDOR", "Found", "Indexer"]

VENDOR = "wazuh"
_REQUESTS_PER_MINUTE = 600


@dataclass(frozen=True, slots=True)
class Found:
    """The hits of one search, decoded and as the indexer wrote them, and how many shards were asked."""

    hits: Sequence[tuple[Any, bytes]]
    shards: int

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The documents of the hits."""
        found = [hit.get("_source") if isinstance(hit, dict) else None for hit, _ in self.hits]
        return [source for source in found if isinstance(source, dict)]


class Indexer:
    """One indexer as one user. What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._client = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("indexer_url"),
            auth=BasicAuth(settings.text("indexer_username"), settings.secret("indexer_password")),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the indexer's clock is ahead of ours."""
        return self._client.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def search(self, index: str, body: Mapping[str, Any], operation: str) -> Found:
        """One page. Raises UnavailableError when shards are missing from it: what they hold would be passed over.

        An index of a day on which nothing happened is not there, which is no error.
        """
        try:
            response = await self._client.request(
                "POST",
                f"/{index}/_search",
                operation=operation,
                params={"ignore_unavailable": "true", "allow_no_indices": "true"},
                json=body,
                repeatable=True,
            )
        except ScopeError as error:
            raise ScopeError(
                f"the indexer's user lacks the index permission read on {index}; add it to the user's role",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
            ) from error
        try:
            answer = json.loads(response.content)
            hits = cut(response.content, "hits", "hits")
        except (ValueError, RecursionError) as error:
            raise _unusable(response, operation, f"expected a search answer ({type(error).__name__})") from None
        shards = answer.get("_shards") if isinstance(answer, dict) else None
        if not isinstance(shards, dict) or not isinstance(answer.get("hits"), dict):
            raise _unusable(response, operation, "the answer is none of a search")
        if answer.get("timed_out") or shards.get("failed"):
            message = (
                f"{shards.get('failed')} of {shards.get('total')} shards did not answer in full; nothing was taken"
            )
            raise UnavailableError(message, vendor=VENDOR, operation=operation, status=response.status_code)
        total = shards.get("total")
        return Found(hits, total if isinstance(total, int) else 0)


def _unusable(response: httpx.Response, operation: str, what: str) -> ResponseError:
    message = f"{what}, got {len(response.content)} bytes; check that indexer_url is the indexer's"
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)

"""The Elasticsearch half: the vendor's own client, over the network that the configuration gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from elastic_transport import HttpHeaders, HttpxAsyncHttpNode, NodeConfig
from elastic_transport.client_utils import DEFAULT
from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from nightdesk.connectors.elastic_security.answers import VENDOR, incomplete, vendor_error
from nightdesk.sdk.context import Context, Network
from nightdesk.sdk.errors import NotFoundError, ResponseError
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.trust import trust

__all__ = ["Cluster", "Page"]

_KEEP_ALIVE = "2m"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of hits and the id under which the snapshot goes on; not ``complete``: shards are missing from it."""

    hits: Sequence[Mapping[str, Any]]
    snapshot: str
    complete: bool


class Cluster:
    """What is asked of Elasticsearch, one method a question. Raises VendorError."""

    def __init__(self, context: Context, *, url: str, index: str) -> None:
        self._index = index
        self._needs = f"the index privilege read on {index}"
        self._client = AsyncElasticsearch(
            _with_port(url),
            node_class=_node_class(context.network, context.settings.secret("api_key")),
            request_timeout=context.network.timeout,
            max_retries=1,  # an idle connection that the server closed; everything else waits for the hub
            retry_on_status=(),
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def open_snapshot(self) -> str:
        """A point in time over the space's alerts; a space that never had an alert gives an empty one."""
        answer = await self._ask(
            self._client.open_point_in_time(index=self._index, keep_alive=_KEEP_ALIVE, ignore_unavailable=True),
            "open point in time",
        )
        return _text(answer, "id", "open point in time")

    async def close_snapshot(self, snapshot: str) -> None:
        """Frees the snapshot on the cluster."""
        await self._ask(self._client.close_point_in_time(id=snapshot), "close point in time")

    async def page(
        self, snapshot: str, *, field: str, filters: Sequence[Mapping[str, Any]], after: Sequence[Any] | None, size: int
    ) -> Page:
        """The next hits in ascending order of ``field``."""
        # Milliseconds would lose the digits of a date_nanos field in search_after; _shard_doc separates equal times.
        order = {"order": "asc", "format": "strict_date_optional_time_nanos", "unmapped_type": "date"}
        answer = await self._ask(
            self._client.search(
                size=size,
                pit={"id": snapshot, "keep_alive": _KEEP_ALIVE},
                track_total_hits=False,
                sort=[{field: order}, {"_shard_doc": {"order": "asc"}}],
                query={"bool": {"filter": list(filters)}},
                search_after=list(after) if after else None,
            ),
            "search alerts",
            whole=False,
        )
        return Page(_hits(answer), _text(answer, "pit_id", "search alerts"), _complete(answer))

    async def one(self, native_id: str) -> Mapping[str, Any]:
        """The alert with that id. Raises NotFoundError."""
        answer = await self._ask(
            self._client.search(
                index=self._index, ignore_unavailable=True, size=1, query={"ids": {"values": [native_id]}}
            ),
            "read alert",
        )
        hits = _hits(answer)
        if not hits:
            text = (
                f"alert {native_id} is not in {self._index}: it is in another space, deleted, or hidden from this API "
                "key by document level security"
            )
            raise NotFoundError(text, vendor=VENDOR, operation="read alert")
        return hits[0]

    async def events(self, indices: str, query: Mapping[str, Any], *, size: int) -> Sequence[Mapping[str, Any]]:
        """The first hits by time in the indices of telemetry; indices that are not there hold nothing."""
        answer = await self._ask(
            self._client.search(
                index=indices,
                ignore_unavailable=True,
                size=size,
                track_total_hits=False,
                sort=[{"@timestamp": {"order": "asc", "unmapped_type": "date"}}],
                query=dict(query),
            ),
            "read telemetry",
            needs=f"the index privilege read on {indices}",
        )
        return _hits(answer)

    async def authenticate(self) -> None:
        """Returns when the cluster accepts the API key."""
        await self._ask(self._client.security.authenticate(), "authenticate")

    async def _ask(self, call: Any, operation: str, *, whole: bool = True, needs: str = "") -> Mapping[str, Any]:
        try:
            answer = (await call).body
        except (ApiError, TransportError) as error:
            raise vendor_error(error, operation=operation, needs=needs or self._needs) from error
        if not isinstance(answer, dict):
            text = "the answer is no JSON object; check that elasticsearch_url is Elasticsearch itself"
            raise ResponseError(text, vendor=VENDOR, operation=operation)
        if whole and not _complete(answer):
            raise incomplete(operation)
        return answer


def _complete(answer: Mapping[str, Any]) -> bool:
    shards = answer.get("_shards")
    return not answer.get("timed_out") and not (isinstance(shards, dict) and shards.get("failed"))


def _text(answer: Mapping[str, Any], name: str, operation: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise ResponseError(f"the answer has no {name}", vendor=VENDOR, operation=operation)
    return value


def _hits(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    outer = answer.get("hits")
    hits = outer.get("hits") if isinstance(outer, dict) else None
    if not isinstance(hits, list) or not all(isinstance(hit, dict) for hit in hits):
        raise ResponseError("the answer has no list hits.hits", vendor=VENDOR, operation="search alerts")
    return hits


def _with_port(url: str) -> str:
    """The client wants the port spelled out, even the usual one."""
    parsed = httpx.URL(url)
    port = parsed.port or {"https": 443, "http": 80}[parsed.scheme]
    return f"{parsed.scheme}://{parsed.netloc.decode().removesuffix(f':{port}')}:{port}{parsed.path}"


def _node_class(network: Network, secret: Secret) -> type[HttpxAsyncHttpNode]:
    """The client's httpx node, given what it lacks: proxy, path prefix, replaceable transport, a key read at use."""

    class Node(HttpxAsyncHttpNode):
        def __init__(self, config: NodeConfig) -> None:
            super(HttpxAsyncHttpNode, self).__init__(config)  # skips the parent's own httpx client
            self.client = httpx.AsyncClient(
                base_url=self.base_url,
                verify=trust(network),
                proxy=None if network.transport else network.proxy,
                transport=network.transport,
                timeout=network.timeout,
                trust_env=False,
            )

        async def perform_request(  # type: ignore[override]  # as in the parent: the base class is the blocking one
            self,
            method: str,
            target: str,
            body: bytes | None = None,
            headers: HttpHeaders | None = None,
            request_timeout: Any = DEFAULT,
        ) -> Any:
            signed = HttpHeaders({**(headers or {}), "authorization": f"ApiKey {secret.reveal()}"})
            return await super().perform_request(method, target, body, signed, request_timeout)

    return Node

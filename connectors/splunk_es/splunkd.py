"""splunkd through the vendor's own SDK, with every request sent by ``sdk.http``.

The SDK's ``handler`` is replaced, so proxy, private CA, redirect refusal, retry, redaction and the error table are the
ones every vendor has; the SDK never holds the token and its ``HTTPError`` never arises.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import orjson
from splunklib import client

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, VendorError
from nightdesk.sdk.http import HeaderAuth, HttpClient
from nightdesk.sdk.redaction import Redactor

__all__ = ["REQUESTS_PER_MINUTE", "VENDOR", "Splunkd"]

VENDOR = "splunk_es"
REQUESTS_PER_MINUTE = 600

_PORT = 8089
_THREADS = 4
# What the SDK's own parsing of Atom, XML and JSON raises.
_SHAPE_ERRORS = (ParseError, ValueError, LookupError, AttributeError, TypeError, AssertionError)

T = TypeVar("T")


class Splunkd:
    """One search head (or the load balancer before several: its sticky cookie is kept)."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        scheme, host, port = _address(settings.text("base_url"))
        self._token = settings.secret("token")
        self._redactor = Redactor()
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}",
            auth=HeaderAuth("Authorization", self._token, prefix="Bearer "),
            requests_per_minute=settings.integer("requests_per_minute", REQUESTS_PER_MINUTE),
        )
        self._service = client.Service(
            handler=self._send,
            scheme=scheme,
            host=host,
            port=port,
            app=settings.text("app") or None,
            owner=settings.text("owner") or None,
        )
        # Not the loop's default threads: name resolution needs one of those while ours wait for it.
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix=VENDOR)
        self._thread = threading.local()

    @property
    def clock_skew(self) -> float | None:
        """Seconds the search head's clock is ahead of ours."""
        return self._http.clock_skew

    async def call(self, operation: str, work: Callable[[Any], T]) -> T:
        """Runs blocking SDK code in a thread. Raises VendorError."""
        loop = asyncio.get_running_loop()

        def run() -> T:
            self._thread.loop, self._thread.operation = loop, operation
            return work(self._service)

        try:
            return await loop.run_in_executor(self._pool, run)
        except _SHAPE_ERRORS as error:
            message = f"the answer is not in splunkd's documented shape ({type(error).__name__}); check base_url"
            raise self.error(ResponseError, message, operation) from None  # the original holds the answer

    async def get(self, path: str, operation: str, **query: Any) -> Any:
        """The JSON of one endpoint."""
        return await self.call(
            operation, lambda service: orjson.loads(service.get(path, output_mode="json", **query).body.read())
        )

    async def post(self, path: str, operation: str, **form: Any) -> Any:
        """Sends a form once (it is not repeated on its own) and gives the JSON of the answer."""
        return await self.call(
            operation, lambda service: orjson.loads(service.post(path, output_mode="json", **form).body.read())
        )

    def error(self, kind: type[VendorError], message: str, operation: str) -> VendorError:
        """An error of this vendor, without our token even when splunkd repeats it."""
        self._redactor.learn(self._token.reveal())
        return kind(self._redactor.mask(message), vendor=VENDOR, operation=operation)

    def said(self, text: Any) -> str:
        """What splunkd wrote, fit to be shown: one line without our token."""
        self._redactor.learn(self._token.reveal())
        return self._redactor.clean(str(text))

    async def aclose(self) -> None:
        """Closes connections and threads."""
        await self._http.aclose()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, url: str, message: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """The SDK's request handler, called in a worker thread; the request itself runs in the event loop."""
        method, body = message["method"], message.get("body") or None
        # Credentials are the client's business; the SDK would drop ours as soon as a splunkd_ cookie came.
        headers = {name: value for name, value in message["headers"] if name.lower() not in {"authorization", "cookie"}}
        if body:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        request = self._http.request(
            method,
            str(url),
            operation=self._thread.operation,
            content=body.encode() if isinstance(body, str) else body,
            headers=headers,
            # A search may be asked for twice: the worst is a job that nobody reads and that expires.
            repeatable=method != "POST" or "/search/" in url,
        )
        response = asyncio.run_coroutine_threadsafe(request, self._thread.loop).result()
        return {
            "status": response.status_code,
            "reason": response.reason_phrase,
            "headers": response.headers.multi_items(),
            "body": BytesIO(response.content),
        }


def _address(base_url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host, port = None, 0
    if not host or parts.path.strip("/") or parts.query or parts.username:
        problem = f"must be the management address alone, https://host:{_PORT}, without path or credentials"
        raise ConfigError([Problem("settings", "base_url", problem)])
    return parts.scheme, host, port

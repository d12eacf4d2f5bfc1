"""The one HTTP client: auth, retry, rate budget, proxy and private CA, redaction, total error mapping.

It talks only to its configured origin (and, for tokens, to the token endpoint's); every redirect is refused, because a
new destination is a change of configuration. Proxy and CA come from the configuration, never from the environment.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import structlog

from nightdesk import __version__
from nightdesk.sdk.answers import WIRE_ERRORS, Answers, Setback
from nightdesk.sdk.auth import (
    Auth,
    BasicAuth,
    ComputedAuth,
    HeaderAuth,
    LoginAuth,
    OAuth2ClientCredentials,
    OAuth2JwtBearer,
    Signer,
    TokenRequest,
    token_url,
)
from nightdesk.sdk.context import Context, Network
from nightdesk.sdk.departure import Gate, gate
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ResponseError, VendorError
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.retry import MAX_ATTEMPTS, MAX_WAIT, RateBudget, backoff, http_date
from nightdesk.sdk.trust import trust

__all__ = [
    "Auth",
    "BasicAuth",
    "ComputedAuth",
    "HeaderAuth",
    "HttpClient",
    "LoginAuth",
    "OAuth2ClientCredentials",
    "OAuth2JwtBearer",
]

MAX_BODY = 64 * 1024 * 1024
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_DRIP = 10  # an answer may take this many times the timeout, which itself bounds only each silence
_DECODED = ("content-encoding", "content-length", "transfer-encoding")  # no longer true of a body that was read
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    operation: str
    method: str
    url: httpx.URL
    repeatable: bool
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    token: bool = False


class HttpClient:
    """One vendor instance's client: ``async with`` it or call ``aclose``.

    ``inspect`` lets a vendor turn a 2xx answer that carries an error inside into a VendorError (or None). ``jitter``
    gives random numbers in [0, 1). ``clock_skew`` is how many seconds the vendor's clock is ahead of ours, as of its
    last answer with a date.
    """

    def __init__(
        self,
        context: Context,
        *,
        vendor: str,
        base_url: str,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        requests_per_minute: int | None = None,
        inspect: Callable[[httpx.Response, str], VendorError | None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._context = context
        self._vendor = vendor
        self._base = _base(base_url, "base_url")
        self._inspect = inspect
        self._jitter = jitter
        self._budget = RateBudget(requests_per_minute, context.clock, context.sleep) if requests_per_minute else None
        self._redactor = Redactor()
        self._token_url = self._base
        where = token_url(auth)
        if where is not None:
            absolute = where.startswith(("http://", "https://"))
            self._token_url = _base(where if absolute else _under(self._base, where), "token_url")
        self._signer = Signer(auth, context.clock, self._redactor, self._fetch_token)
        self._answers = Answers(vendor, _proxy_name(context.network, self._redactor), self._redactor)
        defaults = {"Accept": "application/json", "User-Agent": f"nightdesk/{__version__}"}
        self._client = _connect(context.network, {**defaults, **(headers or {})})
        self.clock_skew: float | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """One call, retried when ``repeatable`` (default: GET, HEAD, PUT, DELETE). Raises VendorError.

        ``path`` is under the base URL, or an absolute URL of its origin (a next-page link). ``params`` and ``form``
        drop values that are None.
        """
        body = {"json": json, "data": _given(form), "content": content}
        call = _Call(
            operation=operation,
            method=method.upper(),
            url=self._url(path, _given(params), operation),
            repeatable=method.upper() in _REPEATABLE if repeatable is None else repeatable,
            headers=headers or {},
            body={name: value for name, value in body.items() if value is not None},
        )
        return await self._carry_out(call)

    async def json(self, method: str, path: str, *, operation: str, **options: Any) -> Any:
        """Like ``request``, and the decoded JSON. Raises ResponseError when it is none."""
        return self._answers.decoded(operation, await self.request(method, path, operation=operation, **options))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"HttpClient({self._vendor}, {self._base})"

    def _url(self, path: str, params: Mapping[str, Any] | None, operation: str) -> httpx.URL:
        try:
            url = httpx.URL(path if path.lower().startswith(("http://", "https://")) else _under(self._base, path))
            url = url.copy_merge_params(params) if params else url
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise self._answers.broken(operation, self._base, httpx.InvalidURL(str(error))).error from None
        if _origin(url) != _origin(self._base) or url.userinfo:
            message = f"{_shown(url)} is not the configured {_shown(self._base)}; requests go nowhere else"
            raise self._answers.error(RejectedError, message, operation=operation)
        if ".." in path.partition("?")[0].lower().replace("%2e", ".").replace("\\", "/").split("/"):
            message = "the path climbs with '..'; quote the parts that come from data"
            raise self._answers.error(RejectedError, message, operation=operation)
        return url

    async def _fetch_token(self, request: TokenRequest) -> Any:
        call = _Call("authenticate", "POST", self._token_url, True, request.headers, request.body, token=True)
        return self._answers.decoded(call.operation, await self._carry_out(call))

    async def _carry_out(self, call: _Call) -> httpx.Response:
        renewed = False
        attempt = 0
        while True:
            # Outside the attempt: a token that cannot be had has had its own attempts.
            signed = {} if call.token else await self._signer.headers()
            outcome = await self._attempt(call, signed, again=renewed or attempt > 0)
            if isinstance(outcome, httpx.Response):
                return outcome
            if outcome.error.status == 401 and not call.token and not renewed and self._signer.renew(signed):
                renewed = True
                continue
            attempt += 1
            wait = backoff(attempt, self._jitter) if outcome.wait is None else outcome.wait
            allowed = outcome.untouched or (outcome.transient and call.repeatable)
            if not allowed or attempt >= MAX_ATTEMPTS or wait > MAX_WAIT:
                raise outcome.error from outcome.cause
            await self._context.sleep(wait)

    async def _attempt(self, call: _Call, signed: Mapping[str, str], *, again: bool) -> httpx.Response | Setback:
        if self._budget is not None:
            await self._budget.take()
        begin = self._context.clock()
        status: int | None = None
        outcome: httpx.Response | Setback
        try:
            request = self._client.build_request(call.method, call.url, headers={**call.headers, **signed}, **call.body)
        except (TypeError, ValueError, httpx.InvalidURL) as error:
            message = (
                f"the request cannot be built ({type(error).__name__}); its headers or body hold what cannot be sent"
            )
            return Setback(self._answers.error(RejectedError, message, operation=call.operation))
        way_out = None if call.token else gate()
        if way_out is not None:
            way_out.passing(again=again)
            way_out.left(call.method)
        try:
            async with asyncio.timeout(self._context.network.timeout * _DRIP):
                response = await self._exchange(request, call.operation)
            status = response.status_code
            outcome = self._judge(call, response)
        except WIRE_ERRORS as error:
            outcome = self._answers.broken(call.operation, call.url, error)
        except ResponseError as error:
            outcome = Setback(error)
        if way_out is not None:
            _tell(way_out, call, outcome)
        now = self._context.clock()
        _log.debug(
            "vendor call",
            tenant=self._context.tenant,
            instance=self._context.instance,
            vendor=self._vendor,
            operation=call.operation,
            method=call.method,
            path=self._redactor.clean(call.url.path),
            status=status,
            ms=round((now - begin).total_seconds() * 1000, 1),
            error=type(outcome.error).__name__ if isinstance(outcome, Setback) else None,
        )
        return outcome

    async def _exchange(self, request: httpx.Request, operation: str) -> httpx.Response:
        """Sends and reads to the end, within the size limit; what is returned no longer holds the signed request."""
        live = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in live.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    message = f"the answer is larger than {MAX_BODY >> 20} MiB; ask for less at once"
                    raise self._answers.error(ResponseError, message, operation=operation, status=live.status_code)
        finally:
            await live.aclose()
        announced, came = live.headers.get("content-length", ""), max(live.num_bytes_downloaded, len(body))
        if request.method != "HEAD" and announced.isdecimal() and int(announced) > came:
            # Only real sockets notice this themselves.
            broken = f"{came} of {announced} bytes came"
            raise httpx.RemoteProtocolError(broken)
        date = http_date(live.headers.get("date"))
        if date is not None:
            self.clock_skew = (date - self._context.clock()).total_seconds()
            self._context.on_skew(self.clock_skew)
        headers = [(name, value) for name, value in live.headers.multi_items() if name not in _DECODED]
        bare = httpx.Request(request.method, request.url)
        return httpx.Response(live.status_code, headers=headers, content=bytes(body), request=bare)

    def _judge(self, call: _Call, response: httpx.Response) -> httpx.Response | Setback:
        if response.is_success:
            if self._inspect is None or call.token:
                return response
            try:
                found = self._inspect(response, call.operation)
            except VendorError as error:
                found = error
            return response if found is None else self._answers.inspected(found)
        return self._answers.refused(
            call.operation, response, self._context.clock(), advice=self._signer.advice, token=call.token
        )


def _tell(way_out: Gate, call: _Call, outcome: httpx.Response | Setback) -> None:
    """What became of a request that left."""
    if isinstance(outcome, httpx.Response):
        # A POST that may be repeated is a question more often than a change: nothing has begun by it.
        way_out.taken(call.method, begins=call.method != "POST" or not call.repeatable)
    elif outcome.untouched or outcome.error.status in {401, 403}:
        way_out.untouched(call.method)


def _given(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {name: value for name, value in values.items() if value is not None}


def _under(base: httpx.URL, path: str) -> str:
    return f"{str(base).rstrip('/')}/{path.lstrip('/')}" if path else str(base)


def _shown(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # httpx drops a scheme's default port


def _base(text: str, key: str) -> httpx.URL:
    """A URL that is fit to be talked to. Raises ConfigError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ConfigError([Problem("settings", key, "is no URL; write https://host[:port][/path]")]) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError([Problem("settings", key, "must be an http(s) URL with a host")])
    if url.userinfo or url.fragment or (url.query and key == "base_url"):
        raise ConfigError([Problem("settings", key, "must hold no credentials, query or fragment")])
    return url


def _proxy_name(network: Network, redactor: Redactor) -> str:
    """The proxy as it may be shown; its password becomes known to the redactor."""
    if network.proxy is None:
        return ""
    try:
        url = httpx.URL(network.proxy)
    except httpx.InvalidURL:
        url = httpx.URL()
    if not url.host:
        raise ConfigError([Problem("network", "proxy", "is no URL; write http://host:port")])
    redactor.learn(url.password)
    return f"{url.host}:{url.port}" if url.port else url.host


def _connect(network: Network, headers: Mapping[str, str]) -> httpx.AsyncClient:
    shared: dict[str, Any] = {"headers": headers, "timeout": network.timeout, "trust_env": False}
    if network.transport is not None:
        return httpx.AsyncClient(transport=network.transport, **shared)
    believed = trust(network)
    try:
        return httpx.AsyncClient(verify=believed, proxy=network.proxy, **shared)
    except (ValueError, ImportError) as error:
        raise ConfigError([Problem("network", "proxy", "cannot be used; write http://host:port")]) from error

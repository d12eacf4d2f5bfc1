"""What the vendor and the wire do wrong becomes the right error, costs no alert, and shows no secret."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.responses import JSONResponse
from structlog.testing import capture_logs

from nightdesk.sdk.errors import (
    AuthError,
    NightdeskError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.records import Cursor
from nightdesk.sdk.testing.faults import FaultKind
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.testing.subject import Bench, Ground, Subject

__all__ = ["a_blip_costs_nothing", "errors", "health", "redirects", "secrets_in_errors", "wrong_credentials"]

_BLIPS: tuple[tuple[FaultKind, dict[str, Any]], ...] = (
    ("rate_limited", {"retry_after": 2}),
    ("rate_limited", {"bare": True}),
    ("server_error", {"status": 503}),
    ("not_json", {}),
    ("truncated_body", {}),
    ("lost_reply", {}),
    ("expired_token", {}),
)
_LASTING: tuple[tuple[FaultKind, tuple[type[VendorError], ...]], ...] = (
    ("rate_limited", (RateLimitError,)),
    ("server_error", (UnavailableError,)),
    ("not_json", (ResponseError,)),
    ("truncated_body", (UnavailableError, ResponseError)),
    ("expired_token", (AuthError,)),
    ("missing_scope", (ScopeError,)),
    ("redirect", (RejectedError,)),
)


_SEEN_BY_HEALTH: tuple[FaultKind, ...] = (
    "server_error",
    "not_json",
    "truncated_body",
    "redirect",
    "rate_limited",
    "expired_token",
    "missing_scope",
)


async def a_blip_costs_nothing(ground: Ground, subject: Subject) -> None:
    """Each fault once, in the middle of a drain: retried or raised, and the next poll has the rest."""
    async with ground.bench(subject) as bench:
        wanted = bench.burst(9)
        for kind, options in _BLIPS:
            for after in (0, 2):
                bench.simulator.faults.clear()
                bench.simulator.faults.add(kind, times=1, after=after, options=options)
                found = await _persist(bench)
                assert found == wanted, f"{kind} after {after} requests: {len(wanted - found)} alerts are lost"


async def errors(ground: Ground, subject: Subject) -> None:
    """A fault that lasts is the error that says what to do; a missing scope is named."""
    async with ground.bench(subject) as bench:
        _alerts(bench, 3)
        connector = bench.connect()
        await bench.exercise(connector)  # signed in: what follows hits the alerts' own endpoint
        for kind, expected in _LASTING:
            bench.simulator.faults.clear()
            bench.simulator.faults.add(kind)
            error = await bench.trouble(connector if kind != "redirect" else bench.connect())
            assert isinstance(error, expected), f"{kind} gives {type(error).__name__}: {error}"
            assert error.vendor == subject.name, f"{kind}: the error does not name {subject.name}"
            assert error.operation, f"{kind}: the error does not name the operation"
            if kind == "missing_scope":
                assert _names_scope(subject, error), f"nothing says which scope to grant: {error}"
            connector = bench.connect()
            bench.simulator.faults.clear()
            await bench.exercise(connector)


async def wrong_credentials(ground: Ground, subject: Subject) -> None:
    """Another tenant's credentials are refused as what they are."""
    async with ground.bench(subject) as bench:
        _alerts(bench, 1)
        stranger = subject.simulator(secret="somebody-elses-credential")  # noqa: S106  # as made up as it says
        wrong = bench.validated(stranger.settings(bench.url))
        error = await bench.trouble(bench.connect(**wrong))
        assert isinstance(error, AuthError), f"wrong credentials give {type(error).__name__}: {error}"
        calls = len(bench.simulator.seen)
        assert calls <= 3, f"{calls} requests with wrong credentials: that locks accounts"


async def redirects(ground: Ground, subject: Subject) -> None:
    """A redirect to another host is refused, and nothing is sent there."""
    elsewhere = Scripted(JSONResponse({}))
    async with ground.bench(subject) as bench:
        with ground.host(elsewhere) as url:
            connector = bench.connect()
            await bench.exercise(connector)
            bench.simulator.faults.add("redirect", options={"to": f"{url}/collect"})
            for made in (connector, bench.connect()):
                await bench.trouble(made)
    assert not elsewhere.seen, "a redirect was followed to another host"


async def secrets_in_errors(ground: Ground, subject: Subject) -> None:
    """No error, problem or log line holds a secret, whatever went wrong."""
    async with ground.bench(subject) as bench:
        _alerts(bench, 2)
        with _listening() as said:
            for kind, _ in _LASTING:
                bench.simulator.faults.clear()
                bench.simulator.faults.add(kind)
                said.extend(_texts(await bench.trouble(bench.connect())))
                if subject.manifest.checks_health:
                    said.append(repr(await bench.connect().check_health()))
            bench.simulator.faults.clear()
            await bench.exercise(bench.connect())
        shown = [text for text in said if any(secret in text for secret in bench.secrets())]
        assert not shown, f"a secret is shown in: {shown[0][:60]}…"


async def health(ground: Ground, subject: Subject) -> None:
    """The health check says yes only to what works, and never raises for what the vendor does wrong."""
    async with ground.bench(subject) as bench:
        good = await bench.connect().check_health()
        assert good.ok, f"the vendor works, and the check says {good.problems}"
        assert not good.problems, f"it is ok and has problems: {good.problems}"
        if not subject.manifest.remote:
            return  # nobody's faults to see
        for kind in _SEEN_BY_HEALTH:
            bench.simulator.faults.clear()
            bench.simulator.faults.add(kind)
            bad = await bench.connect().check_health()
            assert not bad.ok, f"{kind}: the check says that all is well"
            assert bad.problems, f"{kind}: the check does not say what is wrong"
        bench.simulator.faults.clear()
        stranger = subject.simulator(secret="somebody-elses-credential")  # noqa: S106  # as made up as it says
        wrong = await bench.connect(**bench.validated(stranger.settings(bench.url))).check_health()
        assert not wrong.ok, "wrong credentials: the check says that all is well"
        gone = bench.validated(bench.simulator.settings("http://127.0.0.1:9"))  # the discard port: nobody listens
        dead = await bench.connect(**gone).check_health()
        assert not dead.ok, "nobody listens: the check says that all is well"
        assert dead.problems, "nobody listens: the check does not say so"


def _alerts(bench: Bench, count: int) -> None:
    if bench.streams:
        bench.burst(count)


async def _persist(bench: Bench) -> set[str]:
    """Polls again from the last stored cursor, as a feed does."""
    cursors: dict[str, Cursor | None] = {}
    found: set[str] = set()
    for _ in range(4):
        connector, broken = bench.connect(), False
        for stream in bench.streams:
            try:
                async for batch in connector.pull(stream, cursors.get(stream), limit=2):
                    found |= bench.ids(batch.records)
                    cursors[stream] = batch.cursor or cursors.get(stream)
            except VendorError:
                broken = True
        if not broken:
            return found
    raise AssertionError("one fault of a moment breaks the feed for four polls")


def _names_scope(subject: Subject, error: VendorError) -> bool:
    """The scope itself, or the manifest's entry for the named operation."""
    manifest = subject.manifest
    declared = [stream.scope for stream in manifest.feeds.values()]
    declared += [action.scope for action in (*manifest.acts.values(), *manifest.writes_back.values())]
    scopes = {word for scope in declared for word in _words(scope)}
    return bool(scopes & _words(str(error))) or f"the manifest names for {error.operation}" in str(error)


def _words(text: str) -> set[str]:
    return {word for word in "".join(c if c.isalnum() else " " for c in text.lower()).split() if len(word) > 3}


def _texts(error: NightdeskError) -> list[str]:
    """Everything a traceback would print."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        texts += [str(link), repr(link), repr(link.args)]
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return texts


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Every line that structlog or logging is given, at any level."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    root, ear = logging.getLogger(), Ear()
    before = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        with capture_logs() as events:
            yield said
        said += [repr(event) for event in events]
    finally:
        root.setLevel(before)
        root.removeHandler(ear)

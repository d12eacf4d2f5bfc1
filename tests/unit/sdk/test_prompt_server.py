"""The server of the simulators ends whole: whoever knocks while it stops is closed, not left to the collector."""

import gc
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest

from nightdesk.sdk.testing import serve

_ROUNDS, _CALLERS = 6, 3


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def _knock(port: int, ended: threading.Event, first: threading.Event) -> None:
    with suppress(OSError):
        while not ended.is_set():
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                first.set()


def test_a_caller_that_comes_while_the_server_stops_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: left.append(repr(told.exc_value)))
    for _ in range(_ROUNDS):
        ended, first = threading.Event(), threading.Event()
        with serve(_answer) as served:
            callers = [threading.Thread(target=_knock, args=(served.port, ended, first)) for _ in range(_CALLERS)]
            for caller in callers:
                caller.start()
            assert first.wait(5)
        ended.set()
        for caller in callers:
            caller.join()
        gc.collect()
    assert left == []

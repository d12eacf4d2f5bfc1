"""A sender with a listener of its own: what it sends has arrived when ``add`` returns.

The listener and the spool are the connector's, so that a test that reads the spool reads what came over a socket.
"""

import re
import shutil
import socket
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from nightdesk.connectors.syslog.endpoints import Endpoints
from nightdesk.connectors.syslog.listener import Listener
from nightdesk.connectors.syslog.payloads import line
from nightdesk.connectors.syslog.spool import Spool
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.testing import Simulator as _Simulator
from nightdesk.sdk.testing import StoryAlert

__all__ = ["Simulator"]

_EXTERNAL_ID = re.compile(rb"\bexternalId=(\S+)")
_PATIENCE = 10.0  # seconds until what was sent over loopback must have arrived


class Simulator(_Simulator):
    """One sensor that sends CEF over TCP, in counted frames."""

    vendor: ClassVar[str] = "syslog"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.folder = Path(tempfile.mkdtemp(prefix="nightdesk-syslog-"))
        endpoints = Endpoints(udp=None, tcp=("127.0.0.1", 0), tls=None)
        spool = Spool(self.folder, most=64 * 1024 * 1024, sync=False)
        weakref.finalize(spool, shutil.rmtree, self.folder, ignore_errors=True)  # the listener has ended then
        self._listener = Listener.start(endpoints, spool, longest=1024 * 1024)
        self._socket = socket.create_connection(self._listener.bound["tcp"])
        self._sent = 0
        # Not at the end of the process: then no thread can be asked for anything any more.
        weakref.finalize(self, _end, self._socket, self._listener).atexit = False

    def routes(self) -> list[BaseRoute]:
        """None: what it has to say it sends."""
        return []

    def settings(self, base_url: str) -> dict[str, Any]:
        """The spool that it fills; nobody is called, so the address says nothing."""
        _ = base_url
        return {"spool": str(self.folder), "listen": False}

    def add(self, alert: StoryAlert) -> str:
        """Sends the alert, and waits until it has arrived."""
        self.send(line(alert).encode())
        return alert.uid

    def send(self, message: bytes) -> None:
        """One counted frame."""
        self._socket.sendall(b"%d %s" % (len(message), message))
        self._sent += 1
        end = time.monotonic() + _PATIENCE
        while self._listener.counts.stored < self._sent:
            if time.monotonic() > end:
                raise TimeoutError(f"message {self._sent} has not arrived within {_PATIENCE:.0f} s")
            time.sleep(0.0005)

    def native_id_of(self, record: RawRecord) -> str:
        """What the sensor calls the alert, in CEF's own field for it."""
        found = _EXTERNAL_ID.search(record.payload)
        return found[1].decode() if found else ""


def _end(sender: socket.socket, listener: Listener) -> None:
    sender.close()
    listener.end()

"""Lines over a socket as SMTP has them, and strictly: CRLF alone ends one, and each has a longest length.

Sources: RFC 5321, sections 2.3.8, 4.1.1.4 and 4.5.2 (transparency) and 4.5.3.1 (sizes).
"""

import re
import socket
import ssl
from contextlib import suppress

__all__ = ["COMMAND", "CREDENTIALS", "EndError", "Wire"]

COMMAND, CREDENTIALS = 512, 12_288
"""Octets of a line, its end included: section 4.5.3.1.4; RFC 4954, section 4."""
_TEXT = 1000
_IDLE = 30.0
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class EndError(Exception):
    """This conversation is over."""


class Wire:
    """One connection; ``mute`` once nothing more is to be said on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.encrypted = self.mute = False
        self._socket = connection
        self._socket.settimeout(_IDLE)
        self._file = connection.makefile("rb")

    def close(self) -> None:
        """Hangs up."""
        self._file.close()
        with suppress(OSError):
            self._socket.close()

    def encrypt(self, trust: ssl.SSLContext) -> None:
        """TLS from here on; what came before the handshake is not believed."""
        self._file.close()
        self._socket = trust.wrap_socket(self._socket, server_side=True)
        self._file = self._socket.makefile("rb")
        self.encrypted = True

    def send(self, data: bytes) -> None:
        """Those octets as they are."""
        if self.mute:
            raise EndError
        self._socket.sendall(data)

    def say(self, text: str) -> None:
        """A reply of one line or several."""
        self.send(f"{text}\r\n".encode())

    def line(self, most: int) -> bytes:
        """The next line without its end. Raises EndError when there is none, or none that is right."""
        found = self._file.readline(most + 1)
        if not found:
            raise EndError
        if len(found) > most or not found.endswith(b"\r\n") or _BARE.search(found):
            self.say("500 5.5.2 Line too long, or not ended by <CR><LF>")
            raise EndError
        return found[:-2]

    def content(self, *, eight_bit: bool, size: int) -> tuple[bytes, str]:
        """A message without its doubled dots, and what is wrong with it as a reply; all of it is read either way."""
        lines: list[bytes] = []
        trouble, length = "", 0
        while True:
            line = self._file.readline(_TEXT + 2)  # a doubled dot does not count
            if not line:
                raise EndError
            if line == b".\r\n" and (not lines or lines[-1].endswith(b"\r\n")):
                return b"".join(lines), trouble
            line = line[1:] if line.startswith(b".") else line
            length += len(line)
            if length > size:
                trouble = trouble or "552 5.3.4 Message too big"
                lines = lines[-1:]
            if not line.endswith(b"\r\n") or _BARE.search(line) or len(line) > _TEXT:
                trouble = trouble or "554 5.6.0 Line too long, or not ended by <CR><LF>"
            if not eight_bit and not line.isascii():
                trouble = trouble or "554 5.6.1 Eight bits without BODY=8BITMIME"
            if b"\0" in line:
                trouble = trouble or "554 5.6.0 A NUL"
            lines.append(line)

"""Cuts a TCP stream into messages: counted frames and lines, told apart frame by frame.

RFC 6587: octet counting (3.4.1), as TLS demands (RFC 5425), and non-transparent framing by LF or NUL (3.4.2).
"""

import re

__all__ = ["Framer", "trimmed"]

_COUNTED = re.compile(rb"([1-9][0-9]{0,8}) (?=<|\{|CEF|LEEF)")
_UNDECIDED = re.compile(rb"[1-9][0-9]{0,8}(?: (?:C|CE|L|LE|LEE)?)?\Z")
_LEADING = re.compile(rb"[\r\n\x00]+")
_END = re.compile(rb"[\n\x00]")


def trimmed(message: bytes) -> bytes:
    """Without the line end that senders add to a datagram or a counted frame."""
    return message.rstrip(b"\r\n\x00")


class Framer:
    """One connection's stream."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._owed = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now; longer ones than the longest in pieces."""
        self._buffer += data
        found: list[bytes] = []
        while (message := self._next()) is not None:
            if message:
                found.append(message)
        return found

    def end(self) -> list[bytes]:
        """What is left when the sender hangs up: a line without its end, a frame that breaks off."""
        rest = trimmed(bytes(self._buffer))
        self._buffer.clear()
        self._owed = 0
        return [rest] if rest else []

    def _next(self) -> bytes | None:
        """The next message, empty for one that says nothing; None when more must come first."""
        if not self._owed:
            leading = _LEADING.match(self._buffer)
            if leading:
                del self._buffer[: leading.end()]
            counted = _COUNTED.match(self._buffer)
            if counted:
                self._owed = int(counted[1])
                del self._buffer[: counted.end()]
            elif not self._buffer or _UNDECIDED.match(self._buffer):
                return None
        if self._owed:
            size = min(self._owed, self._longest)
            if len(self._buffer) < size:
                return None
            self._owed -= size
            return trimmed(self._cut(size, size))
        ended = _END.search(self._buffer, 0, self._longest + 1)
        if ended:
            return trimmed(self._cut(ended.start(), ended.end()))
        return self._cut(self._longest, self._longest) if len(self._buffer) > self._longest else None

    def _cut(self, size: int, upto: int) -> bytes:
        message = bytes(self._buffer[:size])
        del self._buffer[:upto]
        return message

"""A listener that speaks MySQL's protocol just long enough to ask for a password, and keeps what it was given."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

_SALT = b"abcdefghijklmnopqrst"
_FLAGS = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000 | 0x200000
_TLS = 0x800
_TLS_REQUEST_BYTES = 32
_FULL = b"\x01\x04"  # caching_sha2's "I do not remember you, give me the password"


@dataclass
class Greedy:
    """What to announce, what to ask for, and what came, deciphered."""

    announced: str
    asked: str
    context: ssl.SSLContext | None
    port: int = 0
    heard: bytearray = field(default_factory=bytearray)

    def meet(self, listener: socket.socket) -> None:
        """Talk to one peer, until it goes."""
        with suppress(OSError, EOFError):
            line, _ = listener.accept()
            line.settimeout(20)
            with line:
                self._talk(line)

    def _talk(self, line: socket.socket) -> None:
        flags = _FLAGS | (_TLS if self.context else 0)
        head = b"\x0a8.0.15\0" + bytes(4) + _SALT[:8] + b"\0" + (flags & 0xFFFF).to_bytes(2, "little") + b"\x2d\x02\0"
        tail = (flags >> 16).to_bytes(2, "little") + b"\x15" + bytes(10) + _SALT[8:] + b"\0" + self.announced.encode() + b"\0"
        _say(line, 0, head + tail)
        first = _exactly(line, 4)
        if self.context and first[0] == _TLS_REQUEST_BYTES:
            _exactly(line, _TLS_REQUEST_BYTES)
            line = self.context.wrap_socket(line, server_side=True)
            first = _exactly(line, 4)
        number = self._hear(line, first)
        _say(line, number + 1, b"\xfe" + self.asked.encode() + b"\0" + _SALT + b"\0")
        number = self._hear(line, _exactly(line, 4))
        _say(line, number + 1, _FULL if "sha2" in self.asked else b"\x01")
        self._hear(line, _exactly(line, 4))

    def _hear(self, line: socket.socket, head: bytes) -> int:
        self.heard += _exactly(line, int.from_bytes(head[:3], "little"))
        return head[3]


def _say(line: socket.socket, number: int, body: bytes) -> None:
    line.sendall(len(body).to_bytes(3, "little") + bytes([number]) + body)


def _exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (more := line.recv(size - len(found))):
            raise EOFError
        found += more
    return found


@asynccontextmanager
async def greedy(announced: str, asked: str, context: ssl.SSLContext | None) -> AsyncIterator[Greedy]:
    """Listening on loopback for one peer; with `context` it offers TLS. At the end all that the peer said is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        found = Greedy(announced, asked, context, listener.getsockname()[1])
        thread = Thread(target=found.meet, args=(listener,))
        thread.start()
        try:
            yield found
        finally:
            await asyncio.to_thread(thread.join)

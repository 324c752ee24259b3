"""Refuses to answer a PostgreSQL server that asks for the password in clear text over a line whose other end is not proven, and whoever
does not speak PostgreSQL's protocol at all.

The driver answers such a request by itself, so the request must not reach it: a watched loop hands each new protocol object
through `_Watch`, which reads the server's first messages and cuts the line when it sees that request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asyncpg.protocol import Protocol

_AUTHENTICATION, _ERROR = ord("R"), ord("E")
_SIGNED_IN = 0
_CLEAR_TEXT = 3
_HEADER_BYTES = 5
_FIRST, _LONGEST_FIRST = frozenset(b"RENv"), 65_536  # kinds of message that a server may begin with, and how long one may be
_ABOUT_TLS = frozenset(b"SNE")


class WatchedLoop:
    """A loop for one dial, over a `proven` line or not. `refused` is True once the server asked for the password in clear text where
    nobody proved who it is; `foreign` once it said what PostgreSQL never says."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, proven: bool) -> None:
        self._loop, self.proven = loop, proven
        self.refused = self.foreign = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        transport, protocol = await self._loop.create_connection(lambda: self._watched(factory()), *args, **kwargs)
        return self._intercepted(transport), protocol

    async def create_unix_connection(self, factory: Callable[[], Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        transport, protocol = await self._loop.create_unix_connection(lambda: self._watched(factory()), *args, **kwargs)
        return self._intercepted(transport), protocol

    async def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        return self._intercepted(await self._loop.start_tls(*args, **kwargs))

    def _intercepted(self, transport: Any) -> Any:
        """After the TLS handshake the driver swaps its protocol in; that one is watched too."""
        if transport is not None:
            original = transport.set_protocol
            transport.set_protocol = lambda protocol: original(self._watched(protocol))
        return transport

    def _watched(self, protocol: Any) -> Any:
        if isinstance(protocol, Protocol):
            _Watch(self, protocol).install()
        elif hasattr(protocol, "on_data"):  # the one that only asks for TLS
            protocol.data_received = self._about_tls(protocol.data_received)
        return protocol

    def _about_tls(self, deliver: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def receive(data: bytes) -> None:
            self.foreign = data[:1] != b"" and data[0] not in _ABOUT_TLS
            deliver(data)

        return receive


class _Watch:
    """Stands before `data_received` until the server says that we are in, then steps aside."""

    def __init__(self, loop: WatchedLoop, protocol: Any) -> None:
        self._loop, self._protocol, self._held = loop, protocol, bytearray()
        self._deliver = protocol.data_received
        self._begun = False

    def install(self) -> None:
        self._protocol.data_received = self._receive

    def _receive(self, data: bytes) -> None:
        self._held += data
        whole, kinds, over = _read(self._held)
        if not self._begun and _foreign(self._held):
            self._loop.foreign = True
            raise ConnectionAbortedError("not PostgreSQL")
        self._begun = True
        if _CLEAR_TEXT in kinds and not self._loop.proven:
            self._loop.refused = True
            raise ConnectionAbortedError("clear text password refused")
        if over:
            del self._protocol.data_received
            whole = len(self._held)
        chunk = bytes(self._held[:whole])
        del self._held[:whole]
        if chunk:
            self._deliver(chunk)


def _foreign(data: bytearray) -> bool:
    """Whether what a server said first cannot be PostgreSQL's."""
    size = int.from_bytes(data[1:_HEADER_BYTES], "big") if len(data) >= _HEADER_BYTES else 4
    return bool(data) and (data[0] not in _FIRST or not 4 <= size <= _LONGEST_FIRST)


def _read(data: bytearray) -> tuple[int, list[int], bool]:
    """Bytes of whole messages, the authentication kinds among them, and whether authentication is over (signed in, or an error)."""
    at, kinds = 0, []
    while len(data) >= at + _HEADER_BYTES:
        size = int.from_bytes(data[at + 1 : at + _HEADER_BYTES], "big")
        if len(data) < at + 1 + size:
            break
        if data[at] == _AUTHENTICATION:
            kinds.append(int.from_bytes(data[at + 5 : at + 9], "big"))
        if size < 4 or data[at] == _ERROR or kinds[-1:] == [_SIGNED_IN]:
            return at, kinds, True
        at += 1 + size
    return at, kinds, False

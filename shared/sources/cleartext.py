"""Refuses to answer a PostgreSQL server that asks for the password in clear text over a line whose other end is not proven.

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


class WatchedLoop:
    """A loop for one dial. `refused` is True once the server asked for the password in clear text."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.refused = False

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
        if isinstance(protocol, Protocol):  # not the one that only asks for TLS
            _Watch(self, protocol).install()
        return protocol


class _Watch:
    """Stands before `data_received` until the server says that we are in, then steps aside."""

    def __init__(self, loop: WatchedLoop, protocol: Any) -> None:
        self._loop, self._protocol, self._held = loop, protocol, bytearray()
        self._deliver = protocol.data_received

    def install(self) -> None:
        self._protocol.data_received = self._receive

    def _receive(self, data: bytes) -> None:
        self._held += data
        whole, kinds, over = _read(self._held)
        if _CLEAR_TEXT in kinds:
            self._loop.refused = True
            raise ConnectionAbortedError("clear text password refused")
        if over:
            del self._protocol.data_received
            whole = len(self._held)
        chunk = bytes(self._held[:whole])
        del self._held[:whole]
        if chunk:
            self._deliver(chunk)


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

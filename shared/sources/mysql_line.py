"""The wire to a server of the MySQL family: TLS with libpq's meanings, and a sign-in that tells nobody the password whom we do not know.

The driver underneath answers whatever a server asks for. Here each request passes `_process_auth` first, since we always begin with
the one answer that a listener learns nothing from (a scramble of 20 random bytes), and the server has to ask for any other.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NoReturn

from asyncmy import auth
from asyncmy.connection import Connection
from asyncmy.constants import CLIENT
from asyncmy.cursors import SSCursor
from asyncmy.errors import MySQLError

from shared.sources.base import CLOSE_SECONDS, Dial
from shared.sources.mysql_failures import words
from shared.sources.tls import context_for, verified

_HARMLESS = frozenset({"mysql_native_password", "client_ed25519"})  # a challenge is answered, the password is not sent
_IN_CLEAR = frozenset({"mysql_clear_password", "dialog"})
_OVER_PROVEN_LINE = frozenset({"caching_sha2_password", "sha256_password"})  # end in clear text where the server has no short proof
_FIRST = "mysql_native_password"
_FAST_ENOUGH = 3
_FLAGS = CLIENT.MULTI_STATEMENTS | CLIENT.LOCAL_FILES


def refuse(code: str) -> NoReturn:
    """Raises Failed in the words of the catalogue."""
    raise words(code).error()


def literal(text: str) -> str:
    """A text as the server reads it back in the modes that a session of ours sets.

    >>> literal("it's \\\\ odd")
    "'it''s \\\\\\\\ odd'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted(name: str) -> str:
    """An identifier as the server reads it back. Raises ValueError for NUL, which no name can hold.

    >>> quoted("a`b")
    '`a``b`'
    """
    if "\0" in name:
        raise ValueError("a name holds NUL")
    return "`" + name.replace("`", "``") + "`"


class Line(Connection):  # type: ignore[misc]
    """One connection. `sign_in` is the way that the server asked for."""

    def __init__(self, dial: Dial) -> None:
        super().__init__(
            host=dial.host,
            port=dial.port,
            user=dial.username,
            password=dial.password.encode(),
            database=dial.database or None,
            charset="utf8mb4",
            conv={},  # everything arrives as the text that the server wrote
            connect_timeout=dial.connect_seconds,
            read_timeout=dial.quiet_seconds,
            program_name=dial.application_name[:63],
            autocommit=True,
            ssl=context_for(dial),
        )
        self._client_flag &= ~_FLAGS  # one statement is one statement, and no file of ours is ever asked for
        self._ssl_context: ssl.SSLContext | None
        self._may_be_plain = dial.tls_mode == "prefer" and not dial.cert
        self.proven = verified(dial.tls_mode)
        self._authority_proven = self.proven or (dial.tls_mode == "verify-ca" and bool(dial.ca))
        self.sign_in = _FIRST
        self.greeted = self._asked = False

    @property
    def tls(self) -> ssl.SSLObject | None:
        """Our own end of the encrypted line; None where it is not encrypted."""
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object") if self._transport else None
        return found

    @property
    def socket(self) -> socket.socket | None:
        """What carries the line."""
        return self._transport.get_extra_info("socket") if self._transport else None

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        self.greeted = True
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            if not self._may_be_plain:
                refuse("tls_not_offered")
            self._ssl_context = None
            self._client_flag &= ~CLIENT.SSL
        self._auth_plugin_name = _FIRST

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        """Raises Failed with `clear_text_refused` before a byte is said where the server wants the password itself and is not proven."""
        self.sign_in = name = plugin_name.decode("ascii", "replace")
        if name in _IN_CLEAR and not self.proven:
            refuse("clear_text_refused")
        if name in _OVER_PROVEN_LINE and not self._authority_proven and self._password:
            return await self._by_scramble(name, auth_packet)
        if name not in _HARMLESS | _IN_CLEAR | _OVER_PROVEN_LINE:
            refuse("sign_in_unsupported")
        try:
            return await super()._process_auth(plugin_name, auth_packet)
        except RuntimeError:  # a package for this way to sign in is not installed
            refuse("sign_in_unsupported")

    async def _by_scramble(self, name: str, packet: Any) -> Any:
        """caching_sha2's short proof, which works while the server remembers us; what it asks for otherwise is refused."""
        if name != "caching_sha2_password":
            refuse("clear_text_refused")
        self.write_packet(auth.scramble_caching_sha2(self._password, packet.read_all()[: auth.SCRAMBLE_LENGTH]))
        answer = await self.read_packet()
        if answer.is_extra_auth_data():
            answer.advance(1)
            if answer.read_uint8() != _FAST_ENOUGH:
                refuse("clear_text_refused")
            answer = await self.read_packet()
        return answer

    async def query(self, sql: str, unbuffered: bool = False) -> Any:
        """Raises the driver's errors."""
        self._asked = True
        try:
            found = await super().query(sql, unbuffered)
        except MySQLError:
            self._asked = False
            raise
        self._asked = False
        return found

    async def rows(self, statement: str, *, raw: bool = False) -> list[tuple[Any, ...]]:
        """All rows of one statement, as text; `raw` leaves them as bytes. Raises the driver's errors."""
        self._use_unicode = not raw
        await self.query(statement)
        return list(self._result.rows or ())

    async def stream(self, statement: str, most: int) -> AsyncIterator[list[tuple[Any, ...]]]:
        """The rows of one statement in chunks, as the server makes them. Raises the driver's errors."""
        self._use_unicode = True
        cursor = self.cursor(SSCursor)
        await cursor.execute(statement)
        while rows := await cursor.fetchmany(most):
            yield rows

    async def ensure_closed(self) -> None:
        """Takes leave of the server. One that does not answer, to the end of its encryption, say, is left without."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().ensure_closed()
        self.close()

    @property
    def half_read(self) -> bool:
        """Whether nobody waited for the end of an answer: the line is of no use then."""
        return self._asked or (self._result is not None and bool(self._result.unbuffered_active))

    @property
    def broken(self) -> bool:
        """Whether the line is gone."""
        return bool(self._stream_broken)

    async def names_and_row(self, statement: str) -> dict[str, Any]:
        """The first row by column name, in lower case; empty where there is none. Raises the driver's errors."""
        self._use_unicode = True
        await self.query(statement)
        names = [field[0].lower() for field in self._result.description or ()]
        return dict(zip(names, self._result.rows[0], strict=True)) if self._result.rows else {}

"""What servers say of how they are kept: TLS for everybody or not, logging, releases, sessions; against real servers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from shared.sources.base import Dial, Probe
from shared.sources.mysql import MariadbDriver
from shared.sources.postgres import PostgresDriver
from shared.sources.postgres_release import supported
from tests.mysql_server import MysqlServer
from tests.tls_server import TlsServer


async def probed(dial: Dial, driver: Any = PostgresDriver) -> Probe:
    async with driver().open(dial) as session:
        return await session.probe()  # type: ignore[no-any-return]


async def test_postgresql_tells_who_may_see_its_rules_whether_tls_is_forced(tls_server: TlsServer) -> None:
    """One rule for lines without encryption from elsewhere is enough for no; whoever may not read the rules knows nothing."""
    owner = tls_server.dial("postgres", host=str(tls_server.folder), tls_mode="disable", password="")
    assert (await probed(owner)).posture.tls_forced is True
    rules = tls_server.folder / "data" / "pg_hba.conf"
    text = rules.read_text()
    try:
        rules.write_text(text + "host all all 10.0.0.0/8 scram-sha-256\n")  # told from the file at once; in force only after a reload
        assert (await probed(owner)).posture.tls_forced is False
        rules.write_text(text + "host all all 10.0.0.0/8 reject\nhostssl all all 10.0.0.0/8 scram-sha-256\n")
        assert (await probed(owner)).posture.tls_forced is True
    finally:
        rules.write_text(text)
    found = await probed(tls_server.dial("scram"))
    assert (found.posture.tls_forced, found.posture.password_hash_strong, found.posture.superuser_used) == (None, True, False)
    assert (found.posture.version_supported, found.posture.logging_connections) == (datetime.now(UTC).date() <= date(2027, 11, 11), False)
    assert found.server.connections


async def test_a_server_without_tls_forces_none(postgres_url: str, dialled: Callable[..., Dial]) -> None:
    assert (await probed(dialled(postgres_url))).posture.tls_forced is False


async def test_who_may_make_tables_could_write(tls_server: TlsServer) -> None:
    """Also where there is no table to write to yet."""
    owner = tls_server.dial("postgres", host=str(tls_server.folder), tls_mode="disable", password="")
    async with PostgresDriver().open(owner) as session:
        await session._connection.execute("grant create on schema public to scram")
        try:
            found = await probed(tls_server.dial("scram"))
        finally:
            await session._connection.execute("revoke create on schema public from scram")
    assert (found.privileges.can_write, found.posture.read_only_role) == (True, False)
    assert not (await probed(tls_server.dial("scram"))).privileges.can_write


async def test_mariadb_tells_its_switches(mariadb: MysqlServer) -> None:
    before = await probed(mariadb.dial(), MariadbDriver)
    assert (before.posture.tls_forced, before.posture.logging_statements) == (False, False)
    assert before.server.connections
    mariadb.run("set global require_secure_transport = on", "set global general_log = on")
    try:
        after = await probed(mariadb.dial(), MariadbDriver)
    finally:
        mariadb.run("set global require_secure_transport = off", "set global general_log = off")
    assert (after.posture.tls_forced, after.posture.logging_connections, after.posture.logging_statements) == (True, True, True)


@pytest.mark.parametrize(
    ("number", "today", "told"),
    [
        (140022, date(2026, 11, 12), True),
        (140022, date(2026, 11, 13), False),
        (90624, date(2026, 1, 1), False),
        (190000, date(2027, 1, 1), None),
    ],
)
def test_releases_have_a_last_day(number: int, today: date, told: bool | None) -> None:
    assert supported(number, today) is told

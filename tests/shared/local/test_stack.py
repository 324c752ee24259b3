"""The stack as one thing: real PostgreSQL, real Kafka, services that are small doubles."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from shared.errors import Failed
from shared.local.doctor import examine
from shared.local.stack import Stack, Step
from shared.local.state import VERSION, Home
from shared.local.status import status_of
from shared.local.upgrade import STEPS
from tests.shared.local.processes import PATIENCE_SECONDS, family, living, until

# As version 1 wrote it after a stop; of a port for `door` it knew nothing.
VERSION_1 = """{
 "version": 1,
 "ports": {"alpha": 28765},
 "kafka": "",
 "database": "",
 "supervisor": null,
 "parts": {"alpha": {"name": "alpha", "port": 28765, "state": "stopped", "process": null, "restarts": 0, "problem": ""}},
 "prepared": true,
 "problem": "",
 "problem_code": ""
}"""


def told_by(address: str) -> dict[str, str]:
    """The settings that a double answers with."""
    with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
        return dict(json.loads(answer.read()))


async def test_up_again_and_down(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up makes all ready and says so; a second up changes nothing; the next start has the same ports and data; down leaves nothing."""
    monkeypatch.setenv("PGPASSWORD", "canary-4711")
    monkeypatch.setenv("MYSQL_PWD", "canary-4711")
    steps: list[Step] = []
    first = stack.up(steps.append)
    assert first.started
    assert {"postgres", "kafka", "alpha", "door"} <= {step.part for step in steps}

    second = stack.up()
    assert not second.started
    assert second.services == first.services

    settings = told_by(first.door)
    assert settings["KAFKA_BOOTSTRAP_SERVERS"] == first.bootstrap
    assert settings["PURSIGHT_DATABASE_URL"] == first.database_url
    assert settings["PURSIGHT_MODE"] == "local"
    assert json.loads(settings["PURSIGHT_EDGES"]) == {"alpha": first.services["alpha"]}
    assert not [name for name in settings if name.startswith("PG")]
    assert "MYSQL_PWD" not in settings
    assert (stack.home.logs / "prepared").read_text() == f"{first.bootstrap}\n"

    status = status_of(stack)
    assert status.ready
    assert first.token not in status.model_dump_json()
    assert first.database_url not in status.model_dump_json()
    assert {finding.level for finding in examine(stack)} == {"ok"}
    files = [stack.home.path / name for name in ("state.json", "token", "up.lock")]
    logs = [path for path in stack.home.logs.iterdir() if path.name != "prepared"]  # that one a double made
    assert {path.stem for path in logs} >= {"kafka", "postgres", "supervisor", "alpha", "door"}
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in [*files, *logs]} == {
        path.name: "0o600" for path in [*files, *logs]
    }

    connection = await asyncpg.connect(first.database_url)
    await connection.execute("create table kept (n int)")
    await connection.close()
    everyone = family(stack)
    monkeypatch.setattr("shared.local.stack.QUIET_SECONDS", 0.1)
    assert stack.down(steps.append)
    assert steps[-1].what.startswith("waiting for ")
    assert steps[-1].what.endswith(("which writes to disk what it holds …", "which write to disk what they hold …"))
    assert not living(everyone)
    assert not stack.down()

    began = time.monotonic()
    again = stack.up()
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert (again.services, again.bootstrap, again.database_url) == (first.services, first.bootstrap, first.database_url)
    connection = await asyncpg.connect(again.database_url)
    assert await connection.fetchval("select count(*) from kept") == 0
    await connection.close()


def test_dead_parts_come_back_on_their_ports(kept_stack: Stack) -> None:
    """kill -9 of any part: it is started again where it was, and the status counts it."""
    kept_stack.up()
    before = {part.name: part for part in status_of(kept_stack).parts}
    for part in before.values():
        os.kill(part.pid, signal.SIGKILL)
    until(lambda: all(part.restarts > before[part.name].restarts for part in status_of(kept_stack).parts), "every part to be started again")
    until(lambda: status_of(kept_stack).ready, "every part to be ready")
    after = {part.name: part for part in status_of(kept_stack).parts}
    assert {name: part.address for name, part in after.items()} == {name: part.address for name, part in before.items()}
    assert all(after[name].pid != before[name].pid for name in before)


def test_a_killed_supervisor_takes_its_parts_along(kept_stack: Stack) -> None:
    """kill -9 of the supervisor: nothing goes on without it, and the next up works."""
    kept_stack.up()
    everyone = family(kept_stack)
    everyone[0].kill()
    everyone[0].wait()
    began = time.monotonic()
    assert kept_stack.up().started
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert not living(everyone)


def test_everything_killed_at_once(kept_stack: Stack) -> None:
    """A power button for the whole stack: stale pid files and locks keep nobody from starting."""
    kept_stack.up()
    everyone = family(kept_stack)
    for process in everyone:
        with suppress(psutil.NoSuchProcess):  # a helper of a part ended by itself meanwhile, or with the part
            process.kill()
    everyone[0].wait()
    began = time.monotonic()
    kept_stack.up()
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_port_that_a_stranger_took(kept_stack: Stack) -> None:
    """One line names the port, the part and what to do; nothing is left running; other ports are a flag away."""
    kept_stack.up()
    kept_stack.down()
    port = kept_stack.home.load().ports["kafka"]
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(Failed, match=rf"Port {port} of kafka is in use: by .*pid {os.getpid()}.*--new-ports"):
            kept_stack.up()
        assert not family(kept_stack)
        assert any(f"{port} of kafka" in finding.says for finding in examine(kept_stack))
        assert kept_stack.up(new_ports=True).bootstrap != f"127.0.0.1:{port}"


def test_a_service_that_keeps_dying(light_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up fails with one line, leaves nothing running, and the log holds the kind and place of the error but not its words."""
    monkeypatch.setenv("DOUBLE_FAILS", "alpha")
    with pytest.raises(Failed, match=r"alpha keeps dying while starting: ended with status 1\. See .*alpha\.log"):
        light_stack.up()
    assert not family(light_stack)
    assert any("alpha keeps dying" in finding.says for finding in examine(light_stack))
    said = light_stack.home.log_of("alpha").read_text()
    assert '"ValueError"' in said
    assert "canary" not in said


def test_a_service_that_cannot_use_its_state_says_why(light_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service itself says of its end is part of the one line."""
    monkeypatch.setenv("DOUBLE_REFUSES", "alpha")
    with pytest.raises(
        Failed, match=r"ended with status 1: the state of alpha is newer than this program\. Start a newer one\. See "
    ) as caught:
        light_stack.up()
    assert "\n" not in caught.value.line()


def test_reset_deletes_only_what_is_ours(kept_stack: Stack) -> None:
    """Whatever a person put into the data directory survives a reset."""
    kept_stack.up()
    (kept_stack.home.path / "diary.txt").write_text("mine")
    kept_stack.reset()
    assert not family(kept_stack)
    assert [path.name for path in kept_stack.home.path.iterdir()] == ["diary.txt"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param('{"version": 999}', "state_newer", id="of a newer version"),
        pytest.param('{"version": 0}', "state_damaged", id="of a version that never was"),
        pytest.param("{half a", "state_damaged", id="damaged"),
    ],
)
def test_state_that_cannot_be_used(stack: Stack, content: str, code: str) -> None:
    """One line says why not, and nothing is touched."""
    stack.home.make()
    (stack.home.path / "state.json").write_text(content)
    with pytest.raises(Failed) as caught:
        stack.up()
    assert caught.value.code == code
    assert "\n" not in caught.value.line()
    assert (stack.home.path / "state.json").read_text() == content


def test_down_without_readable_state(light_stack: Stack) -> None:
    """Even where state.json was damaged, down finds what runs and stops it."""
    light_stack.up()
    everyone = family(light_stack)
    (light_stack.home.path / "state.json").write_text("{half a")
    assert light_stack.down()
    assert not living(everyone)


def test_a_directory_that_was_there_keeps_its_mode(light_stack: Stack) -> None:
    """A data directory that somebody else made is used as it is."""
    light_stack.home.path.mkdir(mode=0o755)
    light_stack.home.path.chmod(0o755)
    light_stack.up()
    assert stat.S_IMODE(light_stack.home.path.stat().st_mode) == 0o755


def test_a_home_of_version_1_is_brought_to_this_one(light_stack: Stack) -> None:
    """Ports and token are kept, parts it did not know get a port, and files that everybody could read are closed."""
    home = light_stack.home
    home.make()
    (home.path / "state.json").write_text(VERSION_1)
    (home.path / "token").write_text("the-token-of-version-1")
    older = [home.path / "up.lock", *(home.logs / name for name in ("kafka.log", "postgres.log", "supervisor.log", "supervisor.log.1"))]
    for file in older:
        file.write_text("said before\n")
        file.chmod(0o644)
    steps: list[Step] = []
    running = light_stack.up(steps.append)
    assert (running.services["alpha"], running.token) == ("http://127.0.0.1:28765", "the-token-of-version-1")
    assert home.load().version == VERSION
    assert [step.what for step in steps if step.part == "data"] == [f"brought to version {VERSION}"]
    assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in older} == {file.name: "0o600" for file in older}
    assert home.log_of("supervisor").read_text().startswith("said before\n")
    light_stack.down()
    light_stack.up(steps.append)
    assert len([step for step in steps if step.part == "data"]) == 1


def test_a_step_that_cannot_be_done_is_told_and_done_later(light_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says which; the data directory stays what it was, nothing runs, and the next up begins with that step."""
    home = light_stack.home
    home.make()
    (home.path / "state.json").write_text(VERSION_1)

    def refuse(_: Home) -> None:
        raise PermissionError(1, "Operation not permitted", str(home.logs / "kafka.log"))

    with monkeypatch.context() as patch:
        patch.setitem(STEPS, 1, refuse)
        with pytest.raises(Failed, match=r"from version 1 to 2: .*kafka\.log: Operation not permitted\. Mend that") as caught:
            light_stack.up()
    assert "\n" not in caught.value.line()
    assert home.load().version == 1
    assert not family(light_stack)
    assert light_stack.up().services["alpha"] == "http://127.0.0.1:28765"


@pytest.mark.parametrize(
    ("part", "file", "found", "other"),
    [
        pytest.param("postgres", "data/PG_VERSION", "17", "KAFKA_BOOTSTRAP_SERVERS", id="postgres"),
        pytest.param("kafka", "version", "3.2.3", "PURSIGHT_DATABASE_URL", id="kafka"),
    ],
)
def test_data_of_an_older_server(light_stack: Stack, monkeypatch: pytest.MonkeyPatch, part: str, file: str, found: str, other: str) -> None:
    """Up says in one line which version made them and what to do; they are left as they are, and nothing runs."""
    for name in {"KAFKA_BOOTSTRAP_SERVERS", "PURSIGHT_DATABASE_URL"} - {other}:
        monkeypatch.delenv(name)
    path = light_stack.home.path / part / file
    path.parent.mkdir(parents=True)
    path.write_text(f"{found}\n")
    with pytest.raises(
        Failed, match=rf"The stack did not start: The data directory is of \w+ {re.escape(found)}, this is .*pursight reset"
    ) as caught:
        light_stack.up()
    assert "\n" not in caught.value.line()
    assert path.read_text() == f"{found}\n"
    assert not family(light_stack)


def test_parts_from_the_environment(light_stack: Stack, postgres_url: str, kafka_bootstrap: str) -> None:
    """KAFKA_BOOTSTRAP_SERVERS and PURSIGHT_DATABASE_URL swap either part: it is used, not started, and its password is not written down."""
    running = light_stack.up()
    assert (running.bootstrap, running.database_url) == (kafka_bootstrap, postgres_url)
    assert {part.name for part in status_of(light_stack).parts} == {"alpha", "door"}
    assert not [path for path in Path(light_stack.home.path).rglob("*") if path.is_file() and postgres_url.encode() in path.read_bytes()]

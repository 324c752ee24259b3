"""The one process that `pursight up` leaves behind: it starts the parts in order, brings dead ones back, and stops them in reverse.

It is single-threaded and runs no event loop: the modules of the services are loaded here once, then each service is a fork, which
shares that memory. Whoever kills this process kills the parts with it: the kernel tells them.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

from shared.errors import Failed, PurSightError
from shared.local.kafka import EmbeddedKafka
from shared.local.parts import Supervised, SupervisedServer, SupervisedService, fork
from shared.local.ports import LOOPBACK
from shared.local.postgres import EmbeddedPostgres
from shared.local.server import name_process, open_log
from shared.local.state import Home, Pid, State

log = logging.getLogger(__name__)
SERVICES, PREPARE = "pursight.services", "pursight.prepare"
TICK_SECONDS = 0.1
STOP_SECONDS = 20.0
PREPARE_SECONDS = 60.0
LOG_BYTES = 32 << 20


class Supervisor:
    """`external` parts come from the environment and are neither started nor stopped by us."""

    def __init__(self, home: Home, state: State) -> None:
        self.home = home
        self.state = state
        self.servers: list[SupervisedServer] = []
        self.services: list[SupervisedService] = []
        self._stopping = False
        self._base = dict(os.environ)

    def run(self) -> int:
        """Until SIGTERM. Returns the exit status: 1 where the start failed, and then `state.problem` says why."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.state = self.state.model_copy(
            update={"supervisor": Pid.of(os.getpid()), "parts": {}, "prepared": False, "stopping": False, "problem": "", "problem_code": ""}
        )
        self.home.save(self.state)
        try:
            self._start()
            self._watch()
        except PurSightError as error:
            self.state = self.state.model_copy(update={"problem": str(error), "problem_code": error.code})
            log.error("stack.failed code=%s", error.code)
            return 1
        finally:
            self._stop()
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True

    def _start(self) -> None:
        self._make_servers()
        for server in self.servers:
            server.start()
            self._save()
        self._load_services()
        self._wait_for_servers()
        self._prepare()
        for service in self.services:
            if not self._stopping:
                service.start()
        self._save()

    def _make_servers(self) -> None:
        ports = self.state.ports
        if not os.environ.get("PURSIGHT_DATABASE_URL"):
            postgres = EmbeddedPostgres(self.home.path / "postgres", port=ports["postgres"], log=self.home.log_of("postgres"))
            self.servers.append(SupervisedServer(postgres))
        if not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            controller = ports["kafka-controller"]
            kafka = EmbeddedKafka(self.home.path / "kafka", port=ports["kafka"], controller_port=controller, log=self.home.log_of("kafka"))
            self.servers.append(SupervisedServer(kafka))

    def _load_services(self) -> None:
        """Load modules once, before any fork. One that cannot be loaded shows itself when its own process tries again."""
        gc.disable()
        for entry in entry_points(group=SERVICES):
            try:
                entry.load()
            except Exception as error:
                log.error("service.unloadable service=%s error=%s", entry.name, type(error).__name__)
            port, log_file = self.state.ports[entry.name], self.home.log_of(entry.name)
            name = entry.name
            self.services.append(SupervisedService(entry, port, log_file=log_file, environment=lambda n=name: self._environment(n)))  # type: ignore[misc]
        gc.collect()
        gc.freeze()
        gc.enable()

    def _wait_for_servers(self) -> None:
        while not self._stopping and any(server.record.state != "running" for server in self.servers):
            for server in self.servers:
                server.tick()
                if server.record.restarts:
                    raise server.server.diagnosis()
            self._save()
            time.sleep(0.02)

    def _prepare(self) -> None:
        """What must be there before the first service: topics. Each entry of the group is called once, in a child."""
        log_file = self.home.log_of("prepare")
        pid = fork("prepare", _prepare_all, log_file, self._environment("prepare"))
        deadline = time.monotonic() + PREPARE_SECONDS
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if self._stopping or time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        if ended[1] and not self._stopping:
            raise Failed("The topics could not be made", remedy=f"See {log_file}, or run `pursight doctor`.", code="prepare_failed")
        self.state = self.state.model_copy(update={"prepared": True})

    def _watch(self) -> None:
        looked = 0.0
        while not self._stopping:
            for part in self._parts():
                part.tick()
            self._save()
            if time.monotonic() - looked > 60:
                looked = time.monotonic()
                self._cut_logs()
            time.sleep(TICK_SECONDS)

    def _stop(self) -> None:
        """Services first, so that nothing is refused by a broker or database that went before them. Who follows a scan is told at once."""
        self.state = self.state.model_copy(update={"stopping": True})
        with suppress(OSError):
            self.home.save(self.state)
        for group in (self.services, self.servers[::-1]):
            deadline = time.monotonic() + STOP_SECONDS
            for part in group:
                part.ask_to_stop()
            for part in group:
                part.end(deadline)
                self._save()
        self.state = self.state.model_copy(update={"supervisor": None, "stopping": False})
        self._save()

    def _environment(self, name: str) -> Mapping[str, str]:
        """What a service sees: our environment without a client's PG* settings, and its own addresses."""
        base = {key: value for key, value in self._base.items() if not key.startswith("PG")}
        own = {
            "PURSIGHT_HOME": str(self.home.path),
            "PURSIGHT_MODE": "local",
            "PURSIGHT_TOKEN": self.home.token(),
            "PURSIGHT_HTTP_PORT": str(self.state.ports.get(name, 0)),
        }
        for server in self.servers:
            if isinstance(server.server, EmbeddedPostgres):
                own["PURSIGHT_DATABASE_URL"] = server.server.url
            if isinstance(server.server, EmbeddedKafka):
                own["KAFKA_BOOTSTRAP_SERVERS"] = server.server.bootstrap
        if name == "door":
            own["PURSIGHT_EDGES"] = json.dumps(
                {other.record.name: f"http://{LOOPBACK}:{other.record.port}" for other in self.services if other.record.name != "door"}
            )
        return base | own

    def _parts(self) -> list[Supervised]:
        return [*self.servers, *self.services]

    def _save(self) -> None:
        new = self.state.model_copy(update={"parts": {part.record.name: part.record for part in self._parts()}})
        if new != self.state or new.supervisor is None:
            self.state = new
            self.home.save(new)

    def _cut_logs(self) -> None:
        """A log that has grown too long becomes `.1`; its writer appends, so the file can be emptied under it."""
        for file in self.home.logs.glob("*.log"):
            if file.stat().st_size > LOG_BYTES:
                older = file.with_suffix(".log.1")
                older.unlink(missing_ok=True)
                with file.open("rb") as full, open_log(older) as kept:
                    shutil.copyfileobj(full, kept)
                os.truncate(file, 0)


def _prepare_all() -> None:
    for entry in entry_points(group=PREPARE):
        entry.load()()


def main(home: str) -> int:
    """The process's entry: `python -m shared.local.supervisor HOME`, output into logs/supervisor.log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    name_process("pursight")
    # Each thread pool of the mathematics library costs memory in every child, and threads do not survive a fork.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    place = Home(Path(home))
    return Supervisor(place, place.load()).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

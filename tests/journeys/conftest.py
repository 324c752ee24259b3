"""One whole line for all journeys that do not break it, with its spans in a sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.local.stack import Stack
from tests.journeys.frail import Frail
from tests.journeys.sink import SpanSink, span_sink
from tests.journeys.stack import Line, started


@pytest.fixture(scope="package")
def sink() -> Iterator[SpanSink]:
    with span_sink() as made:
        yield made


@pytest.fixture(scope="package")
def line(tmp_path_factory: pytest.TempPathFactory, sink: SpanSink) -> Iterator[Line]:
    """A stack that all journeys share: use sources and databases of your own, and leave its parts alone."""
    with started(tmp_path_factory.mktemp("line") / "home", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as made:
        yield made


@pytest.fixture(scope="package")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frail]:
    """Another stack, whose parts may be killed."""
    home = tmp_path_factory.mktemp("frail")
    folder = home / "failpoints"
    folder.mkdir()
    with started(home / "home", PURSIGHT_FAILPOINTS=f"{folder}/") as made:
        yield Frail(made, folder)


@pytest.fixture(scope="session")
def resting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a stack that is down: tests start it, and stop it at their end."""
    home = tmp_path_factory.mktemp("resting") / "home"
    yield home
    Stack(home).reset()

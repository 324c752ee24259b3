"""The disk under the stack fills up: one line says so, nothing is lost, and what was begun goes on when there is room again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from tests.journeys.stack import Line, started, until

SIZE, ALMOST_NONE = 640 << 20, 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs root: to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left: int) -> Path:
    """Leave this many bytes."""
    file = folder / "fill"
    with file.open("wb") as opened:
        os.posix_fallocate(opened.fileno(), 0, shutil.disk_usage(folder).free - left)
    return file


def the_line(done: subprocess.CompletedProcess[str]) -> str:
    """What was said, which is one line."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("pursight: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_a_full_disk_is_said_and_survived(small_disk: Path) -> None:
    """Before anything begins, and half way: the sample company is made in the stack's own PostgreSQL, which fills the disk."""
    with started(small_disk / "home") as line:
        filler = fill(small_disk, ALMOST_NONE)
        assert "The disk is full" in the_line(line.shell("demo"))
        filler.unlink()
        until(lambda: _ready(line), what="the stack to be ready again")

        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(line.shell, "demo")
            until(lambda: asyncio.run(_is_being_made(line)), what="the company to be begun", every=0.02)
            filler = fill(small_disk, ALMOST_NONE)
            assert "The disk is full" in the_line(begun.result())
        filler.unlink()
        until(lambda: _ready(line), what="the stack to be ready again")
        assert line.shell("demo", "--json").returncode == 0


async def _is_being_made(line: Line) -> bool:
    connection = await asyncpg.connect(line.running.database_url)
    try:
        return bool(await connection.fetchval("select true from pg_database where datname = 'pursight_demo'"))
    finally:
        await connection.close()


def _ready(line: Line) -> bool:
    parts = json.loads(line.shell("status", "--json").stdout)["parts"]
    return all(part["ready"] for part in parts)

"""Java's ahead-of-time cache: one per class path, kept only when it is whole."""

from __future__ import annotations

import os
from pathlib import Path

from shared.local.aot import AheadOfTime


def test_a_changed_jar_makes_a_cache_anew(tmp_path: Path) -> None:
    """The first clean end leaves a cache for the next start; another jar under the same name asks for another, and the old one goes."""
    jar, cache = tmp_path / "a.jar", tmp_path / "cache"
    jar.write_bytes(b"")
    cache.mkdir()

    def now() -> AheadOfTime:
        return AheadOfTime(cache, str(jar), flags=("-X",), aside=tmp_path)

    half = now().flag().removeprefix("-XX:AOTCacheOutput=")
    Path(half).write_bytes(b"first")
    now().keep()
    (kept,) = cache.iterdir()
    assert now().flag() == f"-XX:AOTCache={kept}"

    os.utime(jar, ns=(1, 1))
    assert now().flag() == f"-XX:AOTCacheOutput={half}"
    Path(half).write_bytes(b"second")
    now().keep()
    assert [file.read_bytes() for file in cache.iterdir()] == [b"second"]


def test_a_run_that_was_killed_leaves_no_cache(tmp_path: Path) -> None:
    """What an earlier run left half made is removed before the next."""
    (tmp_path / "a.jar").write_bytes(b"")
    (tmp_path / "kafka.aot.half").write_bytes(b"half")
    AheadOfTime(tmp_path / "cache", str(tmp_path / "a.jar"), flags=(), aside=tmp_path).flag()
    assert not (tmp_path / "kafka.aot.half").exists()

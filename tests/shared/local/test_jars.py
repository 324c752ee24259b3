"""The broker's jars: locked, fetched, checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.errors import Failed
from shared.local.jars import LOCK, class_path, missing, read_lock

ONE = '[[dependencies]]\ngroupId = "org.slf4j"\nartifactId = "slf4j-simple"\nversion = "1.7.36"\nsha256 = "{digest}"\n'
DIGEST = next(jar.sha256 for jar in read_lock() if jar.artifact == "slf4j-simple")


def lock_of(tmp_path: Path, digest: str) -> Path:
    lock = tmp_path / "lock.toml"
    lock.write_text(ONE.format(digest=digest))
    return lock


def test_the_lock_names_every_jar_by_version_and_digest() -> None:
    """Full digests, no name twice, and neither an address nor a path in it."""
    jars = read_lock()
    assert len({jar.file_name for jar in jars}) == len(jars) == 46
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.version for jar in jars)
    assert not re.search(r"https?:|/", re.sub(r"^#.*", "", LOCK.read_text(), flags=re.MULTILINE))


def test_a_jar_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the cache with the right digest needs no network."""
    lock, said = lock_of(tmp_path, DIGEST), []
    first = class_path(tmp_path / "cache", lock=lock, progress=lambda done, of: said.append((done, of)))
    unplugged(monkeypatch)
    assert class_path(tmp_path / "cache", lock=lock) == first == str(tmp_path / "cache" / "slf4j-simple-1.7.36.jar")
    assert said == [(1, 1)]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["slf4j-simple-1.7.36.jar"]


def test_a_damaged_jar_is_fetched_anew(tmp_path: Path) -> None:
    """A cached jar of another digest is never put on the class path."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "slf4j-simple-1.7.36.jar").write_bytes(b"something else")
    lock = lock_of(tmp_path, DIGEST)
    class_path(cache, lock=lock)
    assert missing(cache, read_lock(lock)) == []


def test_a_wrong_digest_is_refused(tmp_path: Path) -> None:
    """One line names the jar; it does not stay in the cache."""
    with pytest.raises(Failed, match=r"slf4j-simple-1\.7\.36\.jar has another digest") as caught:
        class_path(tmp_path / "cache", lock=lock_of(tmp_path, "0" * 64))
    assert caught.value.code == "jars_digest"
    assert list((tmp_path / "cache").iterdir()) == []


def test_jars_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: one line with the way out, nothing half fetched."""
    unplugged(monkeypatch)
    with pytest.raises(Failed, match=r"cannot be fetched: slf4j.*HTTPS_PROXY.*KAFKA_BOOTSTRAP_SERVERS") as caught:
        class_path(tmp_path / "cache", lock=lock_of(tmp_path, DIGEST))
    assert caught.value.code == "jars_unfetchable"
    assert list((tmp_path / "cache").iterdir()) == []


def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

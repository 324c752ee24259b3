"""Azurite: Microsoft's own stand-in for Azure Blob, over TLS, with a key of our own. Bearer tokens are read, their signature is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from shared.contracts.cloud import AzureConfig
from shared.contracts.source import DataSource
from shared.local.ports import free_ports
from tests.tls_server import missing

PROGRAM = Path(__file__).parents[1] / ".venv" / "node" / "node_modules" / ".bin" / "azurite-blob"
ACCOUNT, CONTAINER = "acme", "lake"
KEY = base64.b64encode(b"a key that only tests know, of no account").decode()
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Azurite:
    """A running server; everything it needs to be told is by signed address."""

    port: int
    ca: str
    other_ca: str

    def spec(self, container: str = CONTAINER, path: str = "") -> DataSource:
        cloud = AzureConfig(provider="azure", storage_account=ACCOUNT)
        at = {"host": "127.0.0.1", "port": self.port}
        return DataSource(name="lake", engine="azure_blob", database=container, path=path, cloud_config=cloud, **at)

    def sas(self, container: str = CONTAINER, *, rights: str = "rl", until: str = "2099-01-01T00:00:00Z") -> str:
        """A shared access signature of a container, as Microsoft's reference says it is made."""
        told = [rights, "", until, f"/blob/{ACCOUNT}/{container}", "", "", "", "2021-12-02", "c", "", "", "", "", "", "", ""]
        signature = base64.b64encode(hmac.new(base64.b64decode(KEY), "\n".join(told).encode(), hashlib.sha256).digest()).decode()
        return f"sv=2021-12-02&sr=c&sp={rights}&se={quote(until)}&sig={quote(signature, safe='')}"

    def put(self, name: str, content: bytes) -> None:
        """An object, written with a signature that may write."""
        url = f"https://127.0.0.1:{self.port}/{ACCOUNT}/{CONTAINER}/{quote(name)}?{self.sas(rights='rwcl')}"
        answer = httpx.put(
            url, content=content, headers={"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}, verify=_trusting(self.ca)
        )
        answer.raise_for_status()


def token(audience: str = "https://storage.azure.com") -> str:
    """A bearer token as Entra would make one, signed by nobody."""
    now = int(time.time())
    told = {
        "aud": audience,
        "iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
        "iat": now,
        "nbf": now - 60,
        "exp": now + 600,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, {**told, "ver": "1.0", "oid": "x", "tid": "11111111-2222-3333-4444-555555555555"})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "c2lnbmF0dXJl"])


def _trusting(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Started once; skipped, visibly, where npm could not bring it."""
    if not PROGRAM.exists():
        missing("Azurite")
    trustme = pytest.importorskip("trustme")
    folder, port = tmp_path_factory.mktemp("azurite"), free_ports(1)[0]
    ca, other = (trustme.CA(key_type=trustme.KeyType.RSA) for _ in range(2))
    server = ca.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    server.private_key_pem.write_to_path(folder / "server.key")
    server.cert_chain_pems[0].write_to_path(folder / "server.crt")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    command = [PROGRAM, "--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--oauth", "basic"]
    command += ["--cert", folder / "server.crt", "--key", folder / "server.key", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        made = Azurite(port, str(folder / "ca.pem"), str(folder / "other.pem"))
        _until_ready(made, process)
        yield made
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _until_ready(server: Azurite, process: subprocess.Popen[bytes]) -> None:
    """By making the container, as the account's owner."""
    deadline = time.monotonic() + _START_SECONDS
    headers = {"Authorization": f"Bearer {token()}", "x-ms-version": "2021-12-02", "x-ms-date": formatdate(usegmt=True)}
    url = f"https://127.0.0.1:{server.port}/{ACCOUNT}/{CONTAINER}?restype=container"
    while True:
        try:
            answer = httpx.put(url, headers=headers, verify=_trusting(server.ca))
            answer.raise_for_status()
            return
        except httpx.TransportError:
            assert process.poll() is None, f"Azurite ended with {process.returncode}"
            assert time.monotonic() < deadline, "Azurite did not start"
            time.sleep(0.1)

"""The service as it runs: its own process, a real Kafka, a real PostgreSQL. What is submitted is answered as it is over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.access.proof import ACTOR, SEAL, signed
from shared.bus import topics
from shared.local.ports import free_ports
from shared.settings import BusSettings
from tests.shared.access.issuer import AUDIENCE, Issuer, issuing

TENANT = f"t{os.getpid()}"
PLAIN = f"p{os.getpid()}"  # of the other test: a tenant's anchors on the broker outlive a database
PRIVATE = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
CANARY = "qv8-Planted-Secret"
DOCUMENTS: list[dict[str, Any]] = [
    {"name": "good", "source_type": "mysql", "database_name": "shop", "labels": {"zz": "1", "a": "2"}, "ssl_ca": "/ca.pem"},
    {"name": "bad", "hots": 1, "password": CANARY, "location": "hybrid", "cloud_config": {"provider": "azure", "role_arn": "r"}},
    {"name": "odd\u202ename", "database": "d"},
]


@contextmanager
def running(home: Path, bootstrap: str, database_url: str, port: int, **more: str) -> Iterator[Path]:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "PURSIGHT_DATABASE_URL": database_url,
        "PURSIGHT_TOKEN": "token",
        "PURSIGHT_UPSTREAM_ROLES": '["service"]',
        "PURSIGHT_SIGNERS": json.dumps(
            {"crm": {"key": PUBLIC, "tenant": TENANT}, "eye": {"key": PUBLIC, "tenant": TENANT, "roles": ["viewer"]}}
        ),
        "PURSIGHT_HOME": str(home),
        "PURSIGHT_HTTP_PORT": str(port),
        **more,
    }
    with (home / "registry.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "services.registry"], env=environment, stdout=log, stderr=log)
        try:
            yield home / "registry.log"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (home / "registry.log").read_text()


async def answers(bootstrap: str, wanted: int, prefix: str = f"{PLAIN}/") -> list[dict[str, Any]]:
    """What the registry said of this test's sources, in the order of the documents."""
    consumer = AIOKafkaConsumer("source.registered", "source.rejected", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    found: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(60):
        await consumer.start()
        try:
            async for record in consumer:
                if record.value and record.key.decode().startswith(prefix):
                    body = json.loads(record.value)
                    found.setdefault(body["source"], body)
                    if len(found) == wanted:
                        return list(found.values())
        finally:
            await consumer.stop()
    raise AssertionError


async def test_a_submitted_source_is_answered_as_over_http(tmp_path: Path, kafka_bootstrap: str, fresh_database_url: str) -> None:
    """Same spec, same notes, same problems; the planted secret is in no answer and not in the log."""
    await topics.apply(BusSettings(bootstrap_servers=kafka_bootstrap), ["registry"])
    (port,) = free_ports(1)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for document in DOCUMENTS:
            body = json.dumps({"tenant": PLAIN, **document}).encode()
            await producer.send_and_wait("source.submitted", body, key=f"{PLAIN}/{document['name']}".encode())
    with running(tmp_path, kafka_bootstrap, fresh_database_url, port) as log:
        said = {json.dumps(body.get("spec", body.get("problems"))): body for body in await answers(kafka_bootstrap, len(DOCUMENTS))}
        headers = {"Authorization": "Bearer token"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            checked = [(await http.post("/sources/check", json={"tenant": PLAIN, **document})).json() for document in DOCUMENTS]
            again = (await http.post("/sources", json={"tenant": PLAIN, **DOCUMENTS[0]})).json()
    for answer in checked:
        event = said[json.dumps(answer["spec"] if "spec" in answer else [_without_empty(each) for each in answer["problems"]])]
        assert event.get("notes", []) == answer["notes"]
    assert (again["changed"], again["version"]) == (False, 1)
    text = log.read_text()
    assert CANARY not in text + json.dumps(said) + json.dumps(checked)
    assert "Traceback" not in text


def trusting(issuer: Issuer) -> dict[str, str]:
    """Settings of a service that takes this issuer's tokens."""
    issuer.new_key("one")
    return {"PURSIGHT_OIDC_ISSUER": issuer.url, "PURSIGHT_OIDC_AUDIENCE": AUDIENCE}


async def test_who_asks_by_event_is_believed_when_it_signs(tmp_path: Path, kafka_bootstrap: str, fresh_database_url: str) -> None:
    """Registered in the name of who signed; refused, and kept on the ledger, where that one may not, or did not sign this record. A person
    of an issuer is held to roles and tenant by the same process."""
    await topics.apply(BusSettings(bootstrap_servers=kafka_bootstrap), ["registry"])
    (port,) = free_ports(1)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for name, signer, forged in (("mine", b"crm", b""), ("looked", b"eye", b""), ("forged", b"crm", b" ")):
            key, body = (
                f"{TENANT}/signed-{name}".encode(),
                json.dumps({"tenant": TENANT, "name": f"signed-{name}", "database": "d", "host": "h"}).encode(),
            )
            headers = {"ce_id": os.urandom(8).hex().encode(), "ce_time": datetime.now(UTC).isoformat().encode(), ACTOR: signer}
            headers[SEAL] = signed(PRIVATE, "source.submitted", key, headers, body)
            await producer.send_and_wait("source.submitted", body + forged, key=key, headers=list(headers.items()))
    with issuing() as issuer, running(tmp_path, kafka_bootstrap, fresh_database_url, port, **trusting(issuer)):
        said = {body["source"].rpartition("-")[2]: body for body in await answers(kafka_bootstrap, 3, f"{TENANT}/signed-")}
        headers = {"Authorization": "Bearer token"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            kept: list[dict[str, Any]] = []
            async with asyncio.timeout(30):
                while len(kept) < 3:
                    kept = [each for each in (await http.get(f"/audit/{TENANT}")).json()["entries"] if "signed-" in each["object"]]
            eva = {"Authorization": f"Bearer {issuer.token(tenant=TENANT, roles=['viewer'])}"}
            asked = [
                (await http.request(method, f"/sources/{tenant}/signed-mine", headers=eva)).status_code
                for method, tenant in (("GET", TENANT), ("GET", "other"), ("DELETE", TENANT))
            ]
            async with asyncio.timeout(30):
                while len(kept) < 5:
                    kept = [each for each in (await http.get(f"/audit/{TENANT}")).json()["entries"] if "signed-" in each["object"]]
            verified = (await http.get(f"/audit/{TENANT}/verify")).json()
    assert said["mine"]["actor"] == "machine:crm"
    assert {said[name]["problems"][0]["code"] for name in ("looked", "forged")} == {"not_allowed"}
    assert {(each["actor"], each["result"]) for each in kept} == {
        ("machine:crm", "allowed"), ("machine:eye", "denied"), ("event:unproven", "denied"), ("person:7f3a (eva)", "denied")
    }  # fmt: skip
    assert verified["whole"]
    assert asked == [200, 403, 403]


def _without_empty(problem: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in problem.items() if value}

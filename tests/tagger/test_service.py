"""The service as it runs: its own process, a real Kafka, a real PostgreSQL, moto. Events in, tags on the resource, results out."""

from __future__ import annotations

import asyncio
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

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.bus import topics
from shared.contracts.base import Contract
from shared.contracts.envelope import Envelope
from shared.contracts.rules import ContractPublished
from shared.contracts.scan import ScanCompleted
from shared.contracts.tags import JobSubmitted
from shared.contracts.topics import BY_EVENT
from shared.settings import BusSettings
from tests.tagger.examples import make_evaluated, make_source
from tests.tagger.moto_server import client_of, make

CLOUDS = """
acme:
  aws: {{access_key_id: testing, secret_access_key_ref: "env:TAGGER_TEST_SECRET", endpoint_url: "{}"}}
"""


@contextmanager
def running(home: Path, bootstrap: str, database_url: str, moto: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "PURSIGHT_DATABASE_URL": database_url,
        "PURSIGHT_TOKEN": "token",
        "PURSIGHT_HOME": str(home),
        "PURSIGHT_MODE": "local",
        "PURSIGHT_AWS_ENDPOINTS": moto,
        "PURSIGHT_JOB_CLOUDS": str(home / "clouds.yaml"),
        "TAGGER_TEST_SECRET": "a-planted-secret",
    }
    with (home / "tagger.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "services.tagger"], env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (home / "tagger.log").read_text()


async def publish(bootstrap: str, *events: tuple[Contract, str]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    for number, (event, key) in enumerate(events):
        topic = BY_EVENT[type(event)].name
        trace = f"00-{'cd' * 16}-{number + 1:016x}-01"
        headers = Envelope(f"test-{number}", topic, "test", datetime.now(UTC), "acme", traceparent=trace).headers()
        await producer.send_and_wait(topic, event.to_json(), key=key.encode(), headers=list(headers))
    await producer.stop()


async def heard(bootstrap: str, topic: str, key: str, scan: str = "") -> tuple[dict[str, Any], dict[str, bytes]]:
    """The first event of this key, where `scan` is given because of that scan."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(200):
            async for record in consumer:
                if record.key == key.encode() and (not scan or json.loads(record.value).get("scan_id") == scan):
                    return json.loads(record.value), dict(record.headers)
    finally:
        await consumer.stop()
    raise AssertionError


async def test_events_in_tags_on_the_resource(tmp_path: Path, kafka_bootstrap: str, fresh_database_url: str, moto: str) -> None:
    """From an evaluated asset and its scan's manifest to tags in the cloud, said in the same trace; no secret in the log."""
    arn = await make(moto, "database")
    spec = make_source(f"service-{os.getpid()}", arn=arn, endpoint_url=moto)
    event = make_evaluated(spec=spec)
    scan = ScanCompleted(source=spec.key, scan_id="scan-1", complete=True, tables=1, columns=3, changed=1, digest="x")
    contract = ContractPublished.model_validate(
        {
            "id": spec.name,
            "tenant": "acme",
            "servers": [{"server": spec.name, "type": "custom"}],
            "schema": [{"name": "orders"}],
            "compliance": {"regulations": ["GDPR"], "retention_days": 90},
        }
    )
    bucket = await make(moto, "bucket")
    job = JobSubmitted.model_validate(
        {
            **{"tenant_id": "acme", "asset": f"job-of-{spec.name}", "source_connector": "postgres", "target_connector": "iceberg"},
            "infrastructure": {"runtime": {"platform": "emr", "storage": {"bucket": bucket[13:]}}},
        }
    )
    (tmp_path / "clouds.yaml").write_text(CLOUDS.format(moto))
    wrong = JobSubmitted.model_validate({"tenant_id": "acme", "asset": spec.name, "infrastructure": {"runtime": {"platform": "emrr"}}})
    await topics.apply(BusSettings(bootstrap_servers=kafka_bootstrap), ["tagger"])
    with running(tmp_path, kafka_bootstrap, fresh_database_url, moto):
        await publish(kafka_bootstrap, (contract, f"acme/{spec.name}"), (wrong, f"acme/{spec.name}"), (job, f"acme/job-of-{spec.name}"))
        rejected, _ = await heard(kafka_bootstrap, "job.rejected", f"acme/{spec.name}")
        await publish(kafka_bootstrap, (event, event.asset), (scan, spec.key))
        of_job, _ = await heard(kafka_bootstrap, "tags.applied", f"acme/resource:{bucket}")
        compared, _ = await heard(kafka_bootstrap, "contract.compared", event.asset)
        applied, headers = await heard(kafka_bootstrap, "tags.applied", f"acme/resource:{arn}", "scan-1")
    assert (of_job["outcome"], of_job["job"]) == ("applied", f"acme/job-of-{spec.name}")
    assert applied["outcome"] in ("applied", "unchanged")  # the contract may have been first to have them written
    assert headers["traceparent"].decode()[3:35] == "cd" * 16
    async with client_of(moto, "rds") as rds:
        tags = {tag["Key"]: tag["Value"] for tag in (await rds.list_tags_for_resource(ResourceName=arn))["TagList"]}
    assert (tags["DataClassification"], tags["Owner"]) == ("PII+Financial", "data-team")
    assert "infrastructure.runtime.platform" in {problem["field"] for problem in rejected["problems"]}
    assert "CCPA" in {finding["detected"] for finding in compared["findings"]}
    log = (tmp_path / "tagger.log").read_text()
    assert "a-planted-secret" not in log
    assert "Traceback" not in log

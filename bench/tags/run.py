"""What tagging costs: `python -m bench.tags.run [--buckets N] [--resources N]`.

Planned and diffed: resources with a source, a job and a contract each, and tags of others on them, in one process. Written: buckets at
moto's server with 32 at once, against a bare client that makes the same three calls for each (read, write, read back) and decides nothing;
both in turns, so that whatever else the machine does befalls both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from bench.bars import say
from services.tagger.domain.declared import Where
from services.tagger.domain.facts import Fact
from services.tagger.domain.house import House
from services.tagger.domain.odcs import judge_contract
from services.tagger.domain.privacy import holds_personal
from services.tagger.domain.resource import JobHere, ResourceState, derive_resource
from services.tagger.domain.targets import Resource
from services.tagger.domain.wish import Wish
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.standard import shape
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.contracts.job import JobConfig
from shared.contracts.source import AwsConfig, DataSource
from shared.local.ports import free_ports

AT_ONCE, ROUNDS, REGION = 32, 10, "us-east-1"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
TAGS = {f"Key{number}": f"value-{number}" for number in range(20)} | {"ManagedBy": "pursight", "TenantId": "acme"}


def main() -> int:
    """Prints a JSON line per bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--resources", type=int, default=10_000)
    parser.add_argument("--buckets", type=int, default=1_000)
    chosen = parser.parse_args()
    _plans(chosen.resources)
    port = free_ports(1)[0]
    moto = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=-3, stderr=-3)
    try:
        _wait(f"http://127.0.0.1:{port}")
        asyncio.run(_writes(f"http://127.0.0.1:{port}", chosen.buckets))
    finally:
        moto.terminate()
        moto.wait()
    return 0


def _plans(count: int) -> None:
    states = [_state(number) for number in range(count)]
    house = House(holds_personal)
    current = {f"theirs{number}": "x" for number in range(15)} | {"Environment": "dev", "CostCenter": "other"}
    began = time.process_time()
    written = 0
    for state in states:
        derived = derive_resource(state, now=NOW, trace_id="ab" * 16, cause="bench", house=house)
        written += len(derived.wish.diff(current).write)
    seconds = time.process_time() - began
    say(
        f"{count} resources planned and diffed, CPU",
        round(seconds, 2),
        "s",
        "<= 5 s on one core",
        seconds <= 5 * count / 10_000 if count >= 10_000 else None,
        tags_written=written,
    )


def _state(number: int) -> ResourceState:
    """A database with a source, a job that runs on it, the contract of both, and what scans found."""
    arn = f"arn:aws:rds:{REGION}:123456789012:db:orders-{number}"
    cloud = AwsConfig(provider="aws", region=REGION, resource_arn=arn)
    spec = DataSource(
        name=f"orders-{number}",
        tenant="acme",
        database="shop",
        environment="prod",
        owner="data-team@acme.com",
        cloud_config=cloud,
        labels={"cost_center": f"team-{number % 100}", "domain": "sales", "custom": f"value {number}"},
    )
    job = JobHere(f"acme/orders-{number}", _JOB, Where("job.submitted:1"))
    facts = (
        Fact("category", "PII", "orders#email class email", 3),
        Fact("sensitivity", "confidential", "orders#email", 3),
        Fact("regulation", "GDPR", "orders", 3),
        Fact("obligation", "encrypt", "orders", 3),
    )
    return ResourceState(Resource("acme", "aws", arn), spec.key, cloud, (spec,), facts, contracts=(_CONTRACT,), jobs=(job,))


_JOB = JobConfig.model_validate(
    {
        "tenant_id": "acme",
        "environment": "prod",
        "source_connector": "postgres",
        "target_connector": "iceberg",
        "asset": "orders",
        "finops": {"cost_center": "data-engineering", "project": "customer-analytics", "business_tags": ["sales", "analytics"]},
        "infrastructure": {"terraform": {"workspace": "prod"}, "runtime": {"platform": "emr"}, "metadata": {"tags": {"CustomTag": "x"}}},
    }
)
_JUDGED = judge_contract(
    {
        "id": "orders",
        "domain": "sales",
        "dataProduct": "customer-analytics",
        "team": {"owner": "data-team@acme.com"},
        "compliance": {"classification": ["PII", "Financial"], "regulations": ["GDPR", "CCPA"], "retention_days": 365},
    },
    shape=shape,
).contract
assert _JUDGED
_CONTRACT = (_JUDGED, Where("contract.published:1"))


async def _writes(address: str, count: int) -> None:
    sign_in = AwsSignIn(REGION, "", "", "testing", "testing", address)
    async with AwsSessions().client(sign_in, "s3") as s3, AwsSessions().client(sign_in, "s3control") as control:
        names = [f"bench-{number}" for number in range(2 * count)]
        await _many(names, lambda name: s3.create_bucket(Bucket=name))
        ours, bare = names[:count], names[count:]
        writer = AwsTags(AwsSessions(), resolve=_secret, endpoints=frozenset({address}))
        cloud = AwsConfig(provider="aws", region=REGION, access_key_id="testing", secret_access_key_ref="env:X", endpoint_url=address)

        def apply(name: str, *, known: bool = False) -> Awaitable[Any]:
            owned = {key: [value] for key, value in TAGS.items()} if known else {}
            return writer.apply(Wish(Resource("acme", "aws", f"arn:aws:s3:::{name}"), cloud, TAGS, owned, 50))

        async def plain(name: str) -> None:
            await _tags(s3, name)
            listed = [{"Key": key, "Value": value} for key, value in TAGS.items()]
            await control.tag_resource(AccountId="123456789012", ResourceArn=f"arn:aws:s3:::{name}", Tags=listed)
            await _tags(s3, name)

        await apply(ours[0])  # the client is made
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        cpu: dict[str, float] = {"ours": 0.0, "bare": 0.0}
        part = count // ROUNDS
        turns: list[tuple[str, Sequence[str], Callable[[str], Awaitable[Any]]]] = [("bare", bare, plain), ("ours", ours, apply)]
        for number in range(ROUNDS):
            for name, buckets, work in turns if number % 2 else reversed(turns):
                before = time.process_time()
                seconds[name].append(await _timed(buckets[number * part : (number + 1) * part], work))
                cpu[name] += time.process_time() - before
        again = await _many(ours, lambda name: apply(name, known=True))
        await writer.close()
    ratio = median(mine / theirs for mine, theirs in zip(seconds["ours"], seconds["bare"], strict=True))
    told = {name: round(sum(each), 2) for name, each in seconds.items()}
    say(
        f"{count} buckets tagged, {AT_ONCE} at once / a bare client at moto",
        round(ratio, 2),
        "x",
        "<= 1.2 x",
        ratio <= 1.2,
        seconds=told,
        client_cpu_seconds={name: round(each, 2) for name, each in cpu.items()},
    )
    written = sum(one.outcome == "applied" for one in again)
    say("writes of a repeat", written, "writes", "0", written == 0, buckets=count)


async def _tags(s3: Any, name: str) -> None:
    try:
        await s3.get_bucket_tagging(Bucket=name)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise


async def _timed(names: Sequence[str], work: Callable[[str], Awaitable[Any]]) -> float:
    began = time.monotonic()
    await _many(names, work)
    return time.monotonic() - began


async def _many(names: Sequence[str], work: Callable[[str], Awaitable[Any]]) -> list[Any]:
    """All of them, so many at once as the bar says."""
    waiting, done = iter(names), list[Any]()

    async def worker() -> None:
        for name in waiting:
            done.append(await work(name))

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return done


async def _secret(reference: str) -> str:
    return "testing"


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/moto-api/data.json", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("moto did not start")


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    sys.exit(main())

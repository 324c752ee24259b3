"""How long a change of one column's class takes to the resource's tag: `python -m bench.tags.change [--rounds N]`.

The stack is the shipped one with shipped defaults, quiet; the source is a PostgreSQL of its own, which stands for a database that moto's
RDS has. A person relabels a column over HTTP, back and forth; the clock runs until the tag that the class calls for is there, or gone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import yaml

from bench.bars import say
from bench.tags.run import REGION, _wait
from shared.cli.connect import edge
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.local.ports import free_ports
from shared.local.postgres import EmbeddedPostgres

PURSIGHT = Path(sys.executable).with_name("pursight")
LONGEST_SECONDS = 60.0
ARN = f"arn:aws:rds:{REGION}:123456789012:db:bench"
TAG, ASSET = "ContainsHealth", "default/bench/{}.public.people"


def main() -> int:
    """Prints one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    port = free_ports(1)[0]
    moto = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=-3, stderr=-3)
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "source") as source:
        address = f"http://127.0.0.1:{port}"
        os.environ |= {"PURSIGHT_HOME": str(Path(folder) / "home"), "PURSIGHT_AWS_ENDPOINTS": address, "BENCH_SECRET": "testing"}
        try:
            _wait(address)
            asyncio.run(_measure(source.url, address, Path(folder), rounds))
        finally:
            subprocess.run([PURSIGHT, "reset", "--yes"], check=False, capture_output=True)
            moto.terminate()
            moto.wait()
    return 0


async def _measure(url: str, address: str, folder: Path, rounds: int) -> None:
    database = await _made(url)
    at = urlsplit(url)
    cloud = {"provider": "aws", "region": REGION, "resource_arn": ARN, "endpoint_url": address}
    keys = {"access_key_id": "testing", "secret_access_key_ref": "env:BENCH_SECRET"}
    place = {"host": at.hostname, "port": at.port, "database": database, "username": at.username, "ssl_mode": "prefer"}
    os.environ["BENCH_PASSWORD"] = at.password or "none"
    source = {"name": "bench", "engine": "postgresql", **place, "password_secret": "env:BENCH_PASSWORD", "cloud_config": cloud | keys}
    (folder / "source.yaml").write_text(yaml.safe_dump(source))
    async with AwsSessions().client(AwsSignIn(REGION, "", "", "testing", "testing", address), "rds") as rds:
        await rds.create_db_instance(DBInstanceIdentifier="bench", DBInstanceClass="db.t3.micro", Engine="postgres")
        for command in (["up"], ["source", "add", str(folder / "source.yaml")], ["scan", "bench", "--json"]):
            done = await asyncio.to_thread(subprocess.run, [PURSIGHT, *command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command[0]}: {done.stderr[-500:]}"
        await _until(rds, "ManagedBy", there=True)
        seconds = [await _relabelled(rds, ASSET.format(database), there=number % 2 == 0) for number in range(rounds)]
    slowest = max(seconds)
    say("a column's new class on its resource, slowest", round(slowest, 2), "s", "<= 2 s", slowest <= 2, median=round(median(seconds), 2))


async def _made(url: str) -> str:
    connection = await asyncpg.connect(url)
    await connection.execute("create table people (id int primary key, remark text)")
    name: str = await connection.fetchval("select current_database()")
    await connection.close()
    return name


async def _relabelled(rds: Any, asset: str, *, there: bool) -> float:
    """Seconds from the answer to a person's review to the tag."""
    review = {"asset": asset, "column": "remark", "decision": "relabel", "class_name": "diagnosis" if there else "email"}
    await asyncio.to_thread(_review, review)
    began = time.monotonic()
    await _until(rds, TAG, there=there)
    seconds = time.monotonic() - began
    await asyncio.sleep(1.0)  # the stack comes to rest
    return seconds


def _review(review: dict[str, str]) -> None:
    with edge() as line:
        line.send("POST", "/reviews", review)


async def _until(rds: Any, key: str, *, there: bool) -> None:
    for _ in range(int(LONGEST_SECONDS / 0.02)):
        tags = (await rds.list_tags_for_resource(ResourceName=ARN))["TagList"]
        if any(tag["Key"] == key for tag in tags) == there:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{key} is {'not there' if there else 'still there'}")


if __name__ == "__main__":
    sys.exit(main())

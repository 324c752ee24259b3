"""moto's server on a free loopback port, and a line in front of it that can be told to refuse."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.local.ports import free_ports

ACCOUNT = "123456789012"
REGION = "eu-central-1"
NAMES = count(1)
START_SECONDS = 120.0  # tells what is slow from what hangs


@contextmanager
def moto_server(home: Path) -> Iterator[str]:
    """Start it, give its address, end it."""
    port = free_ports(1)[0]
    log = (home / "moto.log").open("wb")
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, env=environment
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        log.close()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"moto ended with {process.returncode}"
        try:
            urllib.request.urlopen(f"{address}/moto-api/data.json", timeout=START_SECONDS).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("moto did not start")


def post(address: str, path: str, body: str = "") -> None:
    """moto's own controls. The content type matters: a form would be a 500."""
    request = urllib.request.Request(f"{address}{path}", data=body.encode(), headers={"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request, timeout=START_SECONDS).close()


class Line:
    """A forwarding line to moto. `refuse` may answer a request (by its action header or path) instead of moto; it counts requests."""

    def __init__(self, behind: str) -> None:
        self.behind, self.address = behind, ""
        self.requests: list[str] = []
        self.refuse: Callable[[str], web.Response | None] = lambda action: None
        self.lines: Callable[[], int] = lambda: 0  # how many connections are open

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        form = body.decode("utf-8", "replace")
        action = request.headers.get("X-Amz-Target", "").rpartition(".")[2] or next(
            (part[7:] for part in form.split("&") if part.startswith("Action=")), f"{request.method} {request.path_qs}"
        )
        self.requests.append(action)
        if answer := self.refuse(action):
            return answer
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length", "expect")}
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(request.method, f"{self.behind}{request.path_qs}", headers=headers, data=body) as reply,
        ):
            skipped = {"transfer-encoding", "content-length", "connection"}
            return web.Response(
                status=reply.status,
                body=await reply.read(),
                headers={name: value for name, value in reply.headers.items() if name.lower() not in skipped},
            )


@asynccontextmanager
async def line_to(behind: str) -> AsyncIterator[Line]:
    """The line, listening on loopback."""
    line = Line(behind)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", line.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    assert runner.server is not None
    line.lines = lambda: len(runner.server.connections)  # type: ignore[union-attr]
    line.address = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield line
    finally:
        await runner.cleanup()


def client_of(address: str, api: str) -> AbstractAsyncContextManager[Any]:
    """A client that looks past the writer."""
    return AwsSessions().client(AwsSignIn(REGION, "", "", "testing", "testing", address), api)


async def make(address: str, kind: str) -> str:
    """Make a resource of this kind (bucket, database, cluster, table); returns its ARN."""
    return await {"bucket": _bucket, "database": _database, "cluster": _cluster, "table": _table}[kind](address)


async def _bucket(address: str) -> str:
    name = f"tagger-test-{next(NAMES)}"
    async with client_of(address, "s3") as s3:
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return f"arn:aws:s3:::{name}"


async def _database(address: str) -> str:
    name = f"tagger-test-{next(NAMES)}"
    async with client_of(address, "rds") as rds:
        await rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            MasterUsername="someone",
            MasterUserPassword="unimportant",
            AllocatedStorage=20,
        )
    return f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{name}"


async def _cluster(address: str) -> str:
    async with client_of(address, "emr") as emr:
        made = await emr.run_job_flow(
            Name="x",
            ReleaseLabel="emr-7.1.0",
            Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
            JobFlowRole="EMR_EC2_DefaultRole",
            ServiceRole="EMR_DefaultRole",
        )
    return f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/{made['JobFlowId']}"


async def _table(address: str) -> str:
    name = f"tagger-test-{next(NAMES)}"
    async with client_of(address, "dynamodb") as dynamo:
        await dynamo.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"

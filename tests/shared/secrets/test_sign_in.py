"""Tokens on the wire: PostgreSQL 15 asks for one through PAM, as managed databases do, and judges it by its own clock."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.connector.domain.plan import plan
from services.connector.gateway import Dialler, Patience
from services.discovery.gateway import Patience as ScanPatience
from services.discovery.gateway import Sources
from shared.contracts.cloud import AwsConfig, AzureConfig, GcpConfig
from shared.contracts.connection import ConnectionPlan, Posture, Privileges, ServerFacts, SourceConnected
from shared.contracts.source import DataSource, SslConfig
from shared.db import circuits
from shared.db.seats import Seats
from shared.egress import GuardedLoop, Surroundings
from shared.errors import Failed
from shared.secrets.sign_in import SignIn
from shared.sources.base import Probe
from shared.sources.dialling import dial_for
from shared.sources.failures import failure_of
from shared.sources.postgres import PostgresDriver
from tests.mysql_server import MysqlServer
from tests.shared.cloud.doubles import ACCOUNT, AzureMetadata, Google, redirect
from tests.shared.sources.gcs import Gcs, serving
from tests.tagger.moto_server import REGION, client_of, post
from tests.tls_server import DEBIAN, TlsServer, missing

PAM = Path("/etc/pam.d")
# Called by pam_exec with the first 512 bytes of what was given as password: RDS judges host, port, user and age of the signature,
# the other clouds whether the token is one of theirs and alive.
JUDGE = """#!/bin/bash
IFS= read -r -d '' token || true
now=$(cat {folder}/clock)
echo "$PAM_USER" >> {folder}/seen
if [[ "$token" == "localhost:{port}/?Action=connect&DBUser=$PAM_USER&"* ]]; then
  at=${{token#*X-Amz-Date=}}; at=${{at%%&*}}
  then=$(date -u -d "${{at:0:8}} ${{at:9:2}}:${{at:11:2}}:${{at:13:2}}" +%s)
  (( now - then <= 900 && then - now <= 300 )); exit
fi
until=$(grep -m1 "^$token " {folder}/ledger | cut -d' ' -f2)
[[ -n "$until" ]] && (( now < until ))
"""


@dataclass
class Database:
    """The server, its clock, which tokens it takes, and who has tried."""

    server: TlsServer | MysqlServer
    folder: Path
    engine: str = "postgresql"

    def __post_init__(self) -> None:
        for name in ("ledger", "seen"):
            (self.folder / name).write_text("")
            (self.folder / name).chmod(0o666)
        self.clock = time.time()

    @property
    def clock(self) -> float:
        return float((self.folder / "clock").read_text())

    @clock.setter
    def clock(self, now: float) -> None:
        (self.folder / "clock").write_text(f"{now:.0f}")

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def seen(self) -> list[str]:
        return (self.folder / "seen").read_text().split()

    def spec(self, cloud: Any, **more: Any) -> DataSource:
        given = {"ssl_config": SslConfig(ca=self.server.ca), "username": "iam", "database": "postgres", "engine": self.engine} | more
        return DataSource(name="crm", location="cloud", host="localhost", port=self.server.port, cloud_config=cloud, **given)


@contextmanager
def judge(folder: Path, port: int) -> Iterator[str]:
    """The name of a PAM service that judges tokens for the server at this port. Needs root, for the file in /etc/pam.d."""
    if os.geteuid() != 0 or not PAM.is_dir():
        missing("PAM (as root)")
    folder.mkdir(mode=0o755)
    program, service = folder / "judge.sh", PAM / f"pursight-test-{os.getpid()}-{port}"
    program.write_text(JUDGE.format(folder=folder, port=port))
    program.chmod(0o755)
    service.write_text(f"auth required pam_exec.so expose_authtok quiet {program}\naccount required pam_permit.so\n")
    try:
        yield service.name
    finally:
        service.unlink()


@pytest.fixture(scope="module")
def judged(tls_server: TlsServer) -> Iterator[Path]:
    """The TLS server asks PAM about the roles `iam` and `scan@shop.iam`."""
    with judge(tls_server.folder / "pam", tls_server.port) as service:
        hba = tls_server.folder / "data" / "pg_hba.conf"
        before = hba.read_text()
        hba.write_text(f'hostssl all iam,"scan@shop.iam" 127.0.0.1/32 pam pamservice={service}\n{before}')
        psql = [DEBIAN / "psql", "-h", tls_server.folder, "-p", str(tls_server.port), "-U", "postgres", "-q", "-c"]
        for statement in ('create role iam login; create role "scan@shop.iam" login', "select pg_reload_conf()"):
            subprocess.run([*psql, statement], check=True, capture_output=True)
        yield tls_server.folder / "pam"
        hba.write_text(before)


@pytest.fixture
def database(tls_server: TlsServer, judged: Path) -> Database:
    return Database(tls_server, judged)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No identity in the environment but a key that a reference names."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_AWS_SECRET", "aws-canary")


AWS = AwsConfig(
    provider="aws", region="eu-central-1", access_key_id="AKIA1", secret_access_key_ref="env:TEST_AWS_SECRET", use_iam_auth=True
)
AZURE = AzureConfig(provider="azure", use_managed_identity=True)
GCP = GcpConfig(provider="gcp", use_workload_identity=True, use_iam_auth=True)


@asynccontextmanager
async def clouds(database: Database, monkeypatch: pytest.MonkeyPatch, *, life: int = 300) -> AsyncIterator[tuple[AzureMetadata, Google]]:
    """The doubles, whose tokens the database knows."""
    async with AzureMetadata().up() as machine, Google().up() as google:
        for double in (machine, google):
            double.ledger, double.clock, double.life_seconds = database.ledger, lambda: database.clock, life
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.address)
        monkeypatch.setenv("GCE_METADATA_HOST", google.address.removeprefix("http://"))
        redirect(monkeypatch, google)
        yield machine, google


async def dialled(home: Path, spec: DataSource) -> tuple[ConnectionPlan, Probe]:
    """What the connector finds; no line is left open."""
    dialler = Dialler(home=home, around=Surroundings(local=True), patience=Patience(5.0, 10.0))
    try:
        return await dialler.watch(spec, 1)
    finally:
        await dialler.kept.close()


def on_guarded_loop(work: Any) -> Any:
    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        return runner.run(work)


def test_each_clouds_token_is_taken(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The connector signs in with a token of AWS, Azure and GCP; for GCP as the user that follows from the account."""

    async def work() -> None:
        async with clouds(database, monkeypatch):
            for cloud, username, role in (
                (AWS, "iam", "iam"),
                (AZURE, "iam", "iam"),
                (GCP, "", "scan@shop.iam"),
                (GCP, ACCOUNT, "scan@shop.iam"),
            ):
                wanted, probe = await dialled(tmp_path, database.spec(cloud, username=username))
                assert (probe.privileges.role, wanted.tls_mode, bool(probe.server.tls_version)) == (role, "verify-full", True)
                assert "canary" not in f"{wanted} {probe}"

    on_guarded_loop(work())


def test_discovery_asks_for_each_physical_connection(database: Database, postgres_url: str, tmp_path: Path) -> None:
    """Each of discovery's lines signs in by itself, following the connector's plan."""

    async def work() -> None:
        spec = database.spec(AWS)
        connected = SourceConnected(
            source=spec.key,
            sequence=1,
            based_on=1,
            spec=spec,
            plan=plan(spec),
            server=ServerFacts(version="15"),
            privileges=Privileges(role="iam"),
            posture=Posture(),
        )
        seats = Seats(postgres_url, service="discovery")
        await circuits.prepare(postgres_url)
        pool = await asyncpg.create_pool(postgres_url, min_size=1, max_size=1)
        patience = ScanPatience(5.0, 10.0, 5.0, 3)
        sources = Sources(home=tmp_path, around=Surroundings(local=True), patience=patience, seats=seats, pool=pool)
        async with sources.open(connected, "") as line:
            await line.prepare()
            assert database.seen() == ["iam"] * 3, "one for the catalogue, two for samples"
        await seats.close()
        await pool.close()

    on_guarded_loop(work())


def test_mariadb_takes_tokens_too(mariadb: MysqlServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same door for MySQL's family: the clear-text plug-in over a proven line, and Cloud SQL's shorter user name."""

    async def work(database: Database) -> None:
        async with clouds(database, monkeypatch) as (machine, _):
            for cloud, username, user in ((AWS, "iam", "iam"), (AZURE, "iam", "iam"), (GCP, "", "scan")):
                await dialled(tmp_path, database.spec(cloud, username=username, database="information_schema"))
                assert database.seen()[-1] == user
            machine.ledger = None
            with pytest.raises(Failed) as caught:
                await dialled(tmp_path, database.spec(AZURE, database="information_schema"))
            assert caught.value.code == "token_not_accepted"

    with judge(mariadb.folder / "pam", mariadb.port) as service:
        mariadb.run(*(f"create user {user}@'%' identified via pam using '{service}' require ssl" for user in ("iam", "scan")))
        on_guarded_loop(work(Database(mariadb, mariadb.folder / "pam", "mariadb")))
        mariadb.run("drop user iam@'%'", "drop user scan@'%'")


@dataclass
class Source:
    """One source's dials in one process, by a clock that is moved together with the database's."""

    database: Database
    spec: DataSource
    home: Path
    sign_in: SignIn = field(init=False)

    def __post_init__(self) -> None:
        self.sign_in = SignIn(self.home, clock=lambda: self.database.clock)

    async def connect(self) -> None:
        wanted = plan(self.spec)
        lookup = self.sign_in.lookup(self.spec, wanted)
        dial = dial_for(self.spec, wanted, lookup, application_name="test", connect_seconds=5.0, statement_seconds=5.0)
        assert "canary" not in repr(dial)
        async with PostgresDriver().open(dial):
            pass


@pytest.mark.parametrize("cloud", [AZURE, GCP], ids=["azure", "gcp"])
async def test_a_clock_past_the_tokens_life(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cloud: Any) -> None:
    """Tokens live five minutes, and each connection brings one of its own: past that life, too, it is let in at once."""
    async with clouds(database, monkeypatch) as (machine, google):
        double = machine if cloud is AZURE else google
        source = Source(database, database.spec(cloud, username="iam" if cloud is AZURE else ""), tmp_path)
        for _ in range(3):
            await source.connect()
        assert len(double.given) == 3
        database.clock += 360
        await source.connect()
        assert len(double.given) == 4
        assert len(database.seen()) == 4, "every sign-in went through at the first try"


async def test_a_clock_past_the_life_of_an_rds_token(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """RDS takes a signature for 15 minutes; each connection brings one of its own moment. An old one would be refused."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(database.clock, UTC))
    source = Source(database, database.spec(AWS), tmp_path)
    await source.connect()
    database.clock += 3600
    await source.connect()
    assert len(database.seen()) == 2
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(database.clock - 3600, UTC))
    with pytest.raises(Failed) as caught:
        await source.connect()
    assert caught.value.code == "token_not_accepted"


async def test_a_revoked_token_is_replaced_once(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Refused while it should still live: a new one is asked for, once; refused again, it is told as what it is."""
    async with clouds(database, monkeypatch) as (machine, _):
        source = Source(database, database.spec(AZURE), tmp_path)
        await source.connect()
        database.ledger.write_text("")
        await source.connect()
        assert len(machine.given) == 2
        machine.ledger = None
        database.ledger.write_text("")
        with pytest.raises(Failed) as caught:
            await source.connect()
        assert (caught.value.code, len(machine.given)) == ("token_not_accepted", 4)
        assert "canary" not in f"{caught.value.line()} {caught.value!r}"
        assert "rds_iam" in failure_of(caught.value).remedy


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
@pytest.mark.parametrize("cloud", [AWS, AZURE, GCP], ids=["aws", "azure", "gcp"])
async def test_no_token_over_an_unproven_line(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cloud: Any, mode: Any
) -> None:
    """Refused with its own code before a line is opened or a token asked for."""
    lines: list[Any] = []
    async with clouds(database, monkeypatch) as (machine, google):
        listener = await asyncio.start_server(lambda *pair: lines.append(pair), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        spec = database.spec(cloud, ssl_config=SslConfig(mode=mode, ca=database.server.ca)).model_copy(update={"port": port})
        with pytest.raises(Failed) as caught:
            await Source(database, spec, tmp_path).connect()
        listener.close()
        assert (caught.value.code, lines, machine.given, google.given) == ("token_needs_proof", [], [], [])


async def test_no_token_to_a_server_that_is_not_proven(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Verified and not trusted: the handshake ends it, and the server has seen no sign-in."""
    spec = database.spec(AWS, ssl_config=SslConfig(ca=database.server.other_ca))
    with pytest.raises(Failed) as caught:
        await Source(database, spec, tmp_path).connect()
    assert (caught.value.code, database.seen()) == ("tls_untrusted", [])


async def test_a_password_changed_meanwhile_is_read_once_more(tls_server: TlsServer) -> None:
    """Refused, the secret is read again, and tried where it is another one; the same one is not tried twice."""
    asked: list[bool] = []

    def lookup_of(*passwords: str) -> Any:
        left = list(passwords)

        async def lookup(host: str, port: int, again: bool) -> tuple[str, str]:
            asked.append(again)
            return "scram", left.pop(0)

        return lookup

    async with PostgresDriver().open(tls_server.dial("", password="", lookup=lookup_of("rotated away", "right horse"))):
        assert asked == [False, True]
    for passwords in (("wrong", "wrong"), ("wrong", "also wrong")):
        with pytest.raises(Failed) as caught:
            async with PostgresDriver().open(tls_server.dial("", password="", lookup=lookup_of(*passwords))):
                pass
        assert caught.value.code == "wrong_password"


def policy(*, may: str, on: str = "*") -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": may, "Resource": on}]})


@asynccontextmanager
async def judging(moto: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsConfig]:
    """moto with a bucket `role-lake` that the role `reader` may read, and a user who may take on that role and nothing else."""
    calls = functools.partial(client_of, moto)
    async with calls("iam") as iam, calls("s3") as s3:
        await s3.create_bucket(Bucket="role-lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        await s3.put_object(Bucket="role-lake", Key="people.csv", Body=b"id,mail\n1,a@example.org\n")
        role = await iam.create_role(RoleName="reader", AssumeRolePolicyDocument=policy(may="sts:AssumeRole"))
        await iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=policy(may="s3:*"))
        await iam.create_user(UserName="taker")
        await iam.put_user_policy(UserName="taker", PolicyName="p", PolicyDocument=policy(may="sts:AssumeRole"))
        key = (await iam.create_access_key(UserName="taker"))["AccessKey"]
    monkeypatch.setenv("TEST_AWS_SECRET", key["SecretAccessKey"])
    post(moto, "/moto-api/reset-auth", "0")
    try:
        yield AwsConfig(
            provider="aws",
            region=REGION,
            access_key_id=key["AccessKeyId"],
            secret_access_key_ref="env:TEST_AWS_SECRET",
            role_arn=role["Role"]["Arn"],
        )
    finally:
        post(moto, "/moto-api/reset-auth", "inf")


def test_a_role_reads_a_bucket(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """STS gives the role to keys that may do nothing else; a store that judges signatures and policies lets in the role, not the keys."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    at = urlsplit(moto)

    async def work() -> None:
        async with judging(moto, monkeypatch) as cloud:

            def lake(cloud: AwsConfig) -> DataSource:
                place = {"host": at.hostname, "port": at.port, "database": "role-lake", "ssl_config": SslConfig(mode="disable")}
                return DataSource(name="lake", engine="s3", location="cloud", cloud_config=cloud, **place)

            _, probe = await dialled(tmp_path, lake(cloud))
            assert probe.privileges.tables_readable == 1
            with pytest.raises(Failed) as caught:
                await dialled(tmp_path, lake(cloud.model_copy(update={"role_arn": ""})))
            assert caught.value.code == "no_privilege"

    on_guarded_loop(work())


def test_a_workloads_token_reads_a_bucket(tls_server: TlsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own account at Google: its token reaches the store over TLS; one that the store no longer takes is replaced once."""

    async def work() -> None:
        async with Google().up() as google:
            monkeypatch.setenv("GCE_METADATA_HOST", google.address.removeprefix("http://"))
            redirect(monkeypatch, google)
            double = Gcs({"people.csv": b"id,mail\n1,a@example.org\n"}, lambda token: token in google.given[-1:] and token not in revoked)
            async with serving(double, tls_server.folder) as port:
                place = {"host": "localhost", "port": port, "database": "lake", "ssl_config": SslConfig(ca=tls_server.ca)}
                cloud = GcpConfig(provider="gcp", use_workload_identity=True)
                spec = DataSource(name="lake", engine="gcs", location="cloud", cloud_config=cloud, **place)
                dialler = Dialler(home=tmp_path, around=Surroundings(local=True), patience=Patience(5.0, 10.0))
                for expected in (1, 2):
                    _, probe = await dialler.watch(spec, expected)
                    assert (probe.privileges.tables_readable, len(google.given)) == (1, expected)
                    revoked.update(google.given)
                await dialler.kept.close()

    revoked: set[str] = set()
    on_guarded_loop(work())

"""Is what a job names there, and may we tag it? Asked of AWS's APIs as moto's server speaks them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from services.tagger.commands.job import run
from services.tagger.domain.checks import Wanted
from services.tagger.gateway.aws_checks import Around, AwsChecks
from services.tagger.gateway.measures import to_monitoring
from services.tagger.gateway.rest import Edge
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.errors import Failed, PurSightError
from tests.tagger.moto_server import ACCOUNT, NAMES, REGION, Line, line_to, make

TAGS = {"TenantId": "acme", "ManagedBy": "pursight"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


SESSIONS = AwsSessions()  # to make a session anew for each test costs more than the tests


class World:
    """Everything that a job may name, made anew; and the looks at it through the line."""

    def __init__(self, line: Line) -> None:
        self.line, self.ids = line, dict[str, str]()
        self.around = Around("emr", REGION, "", ACCOUNT, TAGS)
        self.sign_in = AwsSignIn(REGION, "", "", "testing", "testing", line.address, ours=True)

    def client(self, api: str) -> Any:
        return SESSIONS.client(self.sign_in, api)

    async def made(self) -> World:
        self.ids["bucket"] = (await make(self.line.address, "bucket")).rpartition(":")[2]
        self.ids["cluster"] = (await make(self.line.address, "cluster")).rpartition("/")[2]
        async with self.client("ec2") as ec2:
            self.ids["network"] = (await ec2.create_vpc(CidrBlock="10.1.0.0/16"))["Vpc"]["VpcId"]
            self.ids["subnet"] = (await ec2.create_subnet(VpcId=self.ids["network"], CidrBlock="10.1.1.0/24"))["Subnet"]["SubnetId"]
            group = await ec2.create_security_group(GroupName=f"g{next(NAMES)}", Description="x", VpcId=self.ids["network"])
            self.ids["group"] = group["GroupId"]
        async with self.client("iam") as iam:
            role = await iam.create_role(RoleName=f"checks-{next(NAMES)}", AssumeRolePolicyDocument=TRUST)
            self.ids["role"] = role["Role"]["Arn"]
        self.around = Around("emr", REGION, self.ids["network"], ACCOUNT, TAGS)
        return self

    async def look(self, *named: tuple[str, str], around: Around | None = None) -> list[tuple[str, str]]:
        """Kind and code of each of these."""
        wanted = [Wanted(kind, name, f"runtime.{kind}") for kind, name in named]
        found = await AwsChecks(SESSIONS, self.sign_in).look(wanted, around or self.around)
        assert all(each.why and each.remedy for each in found if each.code)
        return [(each.wanted.kind, each.code) for each in found]

    def ids_of(self, *kinds: str) -> list[tuple[str, str]]:
        return [(kind, self.ids[kind]) for kind in kinds]


@pytest.fixture(scope="module")
async def shared(moto: str) -> AsyncIterator[World]:
    """Made once; tests ask of it, and change what they make besides."""
    async with line_to(moto) as line:
        line.refuse = _silent
        yield await World(line).made()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    shared.line.requests.clear()
    yield shared
    shared.line.refuse = _silent


def _silent(asked: str) -> web.Response | None:
    """moto knows no simulation of policies, and ends with an error of its own; as if we had not the permission."""
    return _refused("AccessDenied") if asked == "SimulatePrincipalPolicy" else None


async def test_each_thing_is_there_or_told_to_be_missing(world: World) -> None:
    """By kind, and nothing is written: what is asked are reads, and EC2's dry run."""
    gone = {
        "bucket": "no-such-bucket-of-ours",
        "cluster": "j-GONE",
        "network": "vpc-0aaaaaaaaaaaaaaaa",
        "subnet": "subnet-0aaaaaaaaaaaaaaaa",
        "group": "sg-0aaaaaaaaaaaaaaaa",
        "role": f"arn:aws:iam::{ACCOUNT}:role/nobody",
    }
    found = await world.look(*world.ids.items(), *gone.items())
    assert found == [*((kind, "") for kind in world.ids), *((kind, f"{kind}_missing") for kind in gone)]
    assert not [action for action in world.line.requests if action.startswith(("PUT", "DELETE", "Add", "Delete", "Put"))]
    async with world.client("ec2") as ec2:
        assert not (await ec2.describe_vpcs(VpcIds=[world.ids["network"]]))["Vpcs"][0].get("Tags")


async def test_what_is_of_no_use(world: World) -> None:
    """In another region, network, account or path; ended; without room."""
    around = Around("emr", "us-east-1", "vpc-other", "210987654321", TAGS)
    role = ("role", world.ids["role"].replace(":role/", ":role/path/"))
    found = await world.look(*world.ids_of("bucket", "subnet", "group"), role, around=around)
    assert found == [
        ("account", "wrong_account"),
        ("bucket", "wrong_region"),
        ("subnet", "other_network"),
        ("group", "other_network"),
        ("role", "role_elsewhere"),
    ]
    cluster, bucket = [(await make(world.line.behind, kind)).rpartition(mark)[2] for kind, mark in (("cluster", "/"), ("bucket", ":"))]
    async with world.client("emr") as emr:
        await emr.terminate_job_flows(JobFlowIds=[cluster])
    async with world.client("s3") as s3:
        full = [{"Key": f"k{number}", "Value": "x"} for number in range(49)]
        await s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": full})
    assert await world.look(("cluster", cluster), ("bucket", bucket)) == [("cluster", "cluster_ended"), ("bucket", "too_many_tags")]


async def test_a_cluster_of_tasks(world: World) -> None:
    """ECS and Fargate ask another service."""
    async with world.client("ecs") as ecs:
        await ecs.create_cluster(clusterName="tasks")
    around = Around("fargate", REGION, "", "", TAGS)
    found = await world.look(("cluster", "tasks"), ("cluster", "other"), around=around)
    assert found == [("cluster", ""), ("cluster", "cluster_missing")]


def _refused(code: str) -> web.Response:
    xml = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    return web.Response(status=403, text=xml, content_type="text/xml")


async def test_what_we_may_not(world: World) -> None:
    """Looking and tagging are permissions of their own."""
    world.line.refuse = lambda asked: _refused("UnauthorizedOperation") if asked in ("CreateTags", "DescribeSubnets") else None
    assert await world.look(*world.ids_of("network", "subnet")) == [("network", "not_taggable"), ("subnet", "access_denied")]


def _simulated(*allowed: str) -> web.Response:
    every = ("s3:TagResource", "s3:UntagResource", "s3:PutBucketTagging", "elasticmapreduce:AddTags", "elasticmapreduce:RemoveTags")
    decisions = {action: "allowed" if action in allowed else "implicitDeny" for action in (*every, "iam:TagRole", "iam:UntagRole")}
    members = "".join(
        f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision></member>"
        for action, decision in decisions.items()
    )
    results = f"<SimulatePrincipalPolicyResult><EvaluationResults>{members}</EvaluationResults></SimulatePrincipalPolicyResult>"
    return web.Response(text=f"<SimulatePrincipalPolicyResponse>{results}</SimulatePrincipalPolicyResponse>", content_type="text/xml")


@pytest.mark.parametrize(
    ("allowed", "codes"),
    [
        (("s3:PutBucketTagging", "elasticmapreduce:AddTags", "elasticmapreduce:RemoveTags"), ["", "", "not_taggable"]),
        (("s3:TagResource", "elasticmapreduce:AddTags", "iam:TagRole", "iam:UntagRole"), ["not_taggable", "not_taggable", ""]),
        (("s3:TagResource", "s3:UntagResource"), ["", "not_taggable", "not_taggable"]),
        (None, ["", "", ""]),
    ],
)
async def test_what_our_policies_come_to(world: World, allowed: tuple[str, ...] | None, codes: list[str]) -> None:
    """Asked of IAM for what has no dry run; a bucket may be tagged in either of two ways; where IAM does not tell, that is said."""
    world.line.refuse = lambda asked: (
        (_refused("AccessDenied") if allowed is None else _simulated(*allowed)) if "Simulate" in asked else None
    )
    wanted = [Wanted(kind, name, "x") for kind, name in world.ids_of("bucket", "cluster", "role")]
    found = await AwsChecks(SESSIONS, world.sign_in).look(wanted, world.around)
    assert [each.code for each in found] == codes
    assert all(("not known" in each.why) == (allowed is None) for each in found)


async def test_nobody_could_sign_in(world: World) -> None:
    """One error for all, not one for each."""
    world.line.refuse = lambda asked: _error("ExpiredToken") if asked == "GetCallerIdentity" else None
    with pytest.raises(Failed) as told:
        await world.look(*world.ids_of("network"))
    assert told.value.code == "credentials_expired"


def _error(code: str) -> web.Response:
    xml = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    return web.Response(status=403, text=xml, content_type="text/xml")


@pytest.fixture
def written(tmp_path: Any) -> Callable[..., str]:
    """A job's file with this runtime."""

    def made(**runtime: Any) -> str:
        document = {"tenant_id": "acme", "source_connector": "postgres", "target_connector": "iceberg", "asset": "orders"}
        file = tmp_path / "job.yaml"
        file.write_text(json.dumps({**document, "infrastructure": {"runtime": runtime}}))
        return str(file)

    return made


async def test_validate_shows_the_checks(
    world: World, written: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where the shell has credentials, and measured; exit code 3 where something is not as the job says."""
    import asyncio

    import typer

    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_ENDPOINT_URL": world.line.address}.items():
        monkeypatch.setenv(name, value)
    fine = written(platform="emr", region=REGION, storage={"bucket": f"s3://{world.ids['bucket']}/raw"})
    monkeypatch.setenv("PURSIGHT_METRICS_FOLDER", str(tmp_path))
    monkeypatch.setenv("PURSIGHT_CLOUD_METRICS", "true")
    await asyncio.to_thread(run, fine, "validate", json_output=True)
    text = next(tmp_path.glob("*.prom")).read_text()
    assert 'pursight_infrastructure_validation_duration_seconds{job="acme/orders"} ' in text
    async with world.client("cloudwatch") as cloudwatch:
        known = (await cloudwatch.list_metrics(Namespace="PurSight"))["Metrics"]
    assert [each["MetricName"] for each in known] == ["pursight.infrastructure.validation_duration"]
    monkeypatch.delenv("PURSIGHT_CLOUD_METRICS")
    told = json.loads(capsys.readouterr().out)["infrastructure"]
    assert [(each["kind"], each["code"]) for each in told["checks"]] == [("bucket", "ok")]
    wrong = written(platform="emr", region=REGION, storage={"bucket": "no-such-bucket-of-ours"})
    with pytest.raises(typer.Exit) as left:
        await asyncio.to_thread(run, wrong, "validate")
    assert left.value.exit_code == 3
    assert "bucket_missing" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "code"), [(200, ""), (403, "access_denied")])
async def test_a_measure_at_google(status: int, code: str) -> None:
    """Of a custom type under the global resource, at one moment."""
    asked = list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={})

    async def bearer(_: bool) -> str:
        return "a-token"

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        edge, name = Edge(http, "https://monitoring", bearer, "it"), "pursight_infrastructure_terraform_apply_duration_seconds"
        with pytest.raises(PurSightError) if code else nullcontext() as told:
            await to_monitoring(edge, "shop-prod", name, {"job": "acme/orders"}, 1.5, datetime(2026, 11, 21, tzinfo=UTC))
    assert asked[0].url.path == "/v3/projects/shop-prod/timeSeries"
    series = json.loads(asked[0].content)["timeSeries"][0]
    kind = "custom.googleapis.com/pursight/infrastructure/terraform_apply_duration"
    assert series["metric"] == {"type": kind, "labels": {"job": "acme/orders"}}
    assert series["points"] == [{"interval": {"endTime": "2026-11-21T00:00:00+00:00"}, "value": {"doubleValue": 1.5}}]
    assert (told.value.code if told else "") == code


@pytest.mark.parametrize(
    ("runtime", "why"),
    [
        ({"platform": "emr", "region": "eu-central-1", "storage": {"bucket": "b"}}, "no credentials"),
        ({"platform": "gke", "region": "europe-west3", "storage": {"bucket": "b"}}, "no credentials of Google"),
        ({"platform": "aks", "storage": {"bucket": "b"}}, "no credentials of Azure"),
        ({"platform": "kubernetes", "storage": {"bucket": "s3://b"}}, "in which cloud its bucket is"),
        ({"platform": "kubernetes", "namespace": "b"}, "in which cluster"),
        ({"platform": "emr"}, "names nothing"),
    ],
)
def test_why_there_was_no_look(
    written: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
    runtime: dict[str, Any],
    why: str,
) -> None:
    """Told, never taken for fine."""
    for name in (
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    run(written(**runtime), "validate")
    assert why in capsys.readouterr().out

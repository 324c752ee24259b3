"""Tags really written to AWS's APIs, as moto's server speaks them."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from typing import Any

import pytest
from aiohttp import web
from botocore.exceptions import EndpointConnectionError

from services.tagger.domain.targets import Arn, Resource
from services.tagger.domain.wish import Wish
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.bulk import BulkTags
from shared.cloud.aws import AwsSessions
from shared.contracts.source import AwsConfig
from shared.errors import Failed, PurSightError, Transient
from tests.tagger.moto_server import ACCOUNT, REGION, Line, client_of, make, post

NAMES = count(1)
TAGS = {"ManagedBy": "pursight", "TenantId": "acme", "DataClassification": "PII+Financial", "Owner": "data-team"}


class World:
    """A line to moto, a writer, and a client of each API that looks past the writer."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.sessions, self.secret = AwsSessions(), "testing"
        self.tags = AwsTags(self.sessions, resolve=self.resolve, endpoints=frozenset({line.address, line.behind}))
        self.cloud = AwsConfig(
            provider="aws", region=REGION, access_key_id="testing", secret_access_key_ref="env:SECRET", endpoint_url=line.address
        )

    async def resolve(self, reference: str) -> str:
        assert reference == "env:SECRET"
        return self.secret

    def client(self, api: str) -> Any:
        return client_of(self.line.behind, api)

    def wish(self, arn: str, desired: Mapping[str, str] = TAGS, *, ours: Mapping[str, str] | None = None, **cloud: str) -> Wish:
        owned = {key: [value] for key, value in (ours or {}).items()}
        return Wish(Resource("acme", "aws", arn), self.cloud.model_copy(update=cloud), desired, owned, 50)

    async def make(self, kind: str) -> str:
        return await make(self.line.behind, kind)

    async def now(self, arn: str) -> dict[str, str]:
        """The tags as they are."""
        async with self.tags._opened(self.wish(arn)) as (service, client, parsed):
            return await service.read(client, parsed)


@pytest.fixture
async def world(line: Line) -> AsyncIterator[World]:
    world = World(line)
    yield world
    await world.tags.close()


KINDS = ["bucket", "database", "cluster", "table"]
WRITES = ("PUT", "POST /v20180820", "DELETE", "AddTags", "RemoveTags", "TagResources", "UntagResources")


@pytest.mark.parametrize("kind", KINDS)
async def test_applied_then_unchanged(world: World, kind: str) -> None:
    """The first time writes and reads back; a repeat reads once and writes nothing."""
    arn = await world.make(kind)
    first = await world.tags.apply(world.wish(arn))
    assert (first.outcome, first.own) == ("applied", TAGS)
    assert await world.now(arn) == TAGS
    world.line.requests.clear()
    again = await world.tags.apply(world.wish(arn, ours=first.own))
    assert again.outcome == "unchanged"
    assert not [action for action in world.line.requests if action.startswith(WRITES)]


@pytest.mark.parametrize("kind", KINDS)
async def test_tags_of_others_stay(world: World, kind: str) -> None:
    """Only our own keys are written and removed; a key that others hold is not overwritten but told."""
    arn = await world.make(kind)
    theirs = {"Team": "other", "Owner": "other"}
    await world.tags.apply(world.wish(arn, theirs))
    first = await world.tags.apply(world.wish(arn))
    assert (first.change.conflicts, first.change.kept) == (("Owner",), 2)
    assert await world.now(arn) == TAGS | theirs
    second = await world.tags.apply(world.wish(arn, {"TenantId": "acme"}, ours=first.own))
    assert set(second.change.remove) == {"ManagedBy", "DataClassification"}
    assert await world.now(arn) == {"TenantId": "acme"} | theirs
    await world.tags.apply(world.wish(arn, {}, ours=second.own))
    assert await world.now(arn) == theirs


async def test_a_bucket_without_tags_ends_without_tags(world: World) -> None:
    """Removing the last key of a bucket leaves no empty set behind."""
    arn = await world.make("bucket")
    done = await world.tags.apply(world.wish(arn))
    await world.tags.apply(world.wish(arn, {}, ours=done.own))
    assert await world.now(arn) == {}


async def test_compare_writes_nothing(world: World) -> None:
    """A dry run tells the change and makes none."""
    arn = await world.make("bucket")
    change = await world.tags.compare(world.wish(arn))
    assert change.write == TAGS
    assert await world.now(arn) == {}


async def failure_of(world: World, wish: Wish) -> PurSightError:
    with pytest.raises(PurSightError) as caught:
        await world.tags.apply(wish)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        pytest.param("arn:aws:s3:::tagger-no-such-bucket", "not_found", id="no such bucket"),
        pytest.param(f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/j-NONE", "tags_refused", id="no such cluster, as EMR says it"),
        pytest.param("not an arn", "not_an_arn", id="not an ARN"),
        pytest.param(f"arn:aws:rds:us-west-2:{ACCOUNT}:db:x", "wrong_region", id="two regions"),
    ],
)
async def test_a_wrong_resource_is_diagnosed(world: World, arn: str, code: str) -> None:
    """What is wrong with the resource has a code and a remedy."""
    assert (await failure_of(world, world.wish(arn))).code == code


async def test_a_resource_that_does_not_show_its_tags(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the API says yes but nothing is there to read, that is not taken for applied."""
    monkeypatch.setattr("services.tagger.gateway.place.FIRST_WAIT", 0.001)
    async with world.client("dynamodb") as dynamodb:
        await dynamodb.list_tables()  # the server loads a service's code at its first request, which may take longer than we wait
    error = await failure_of(world, world.wish(f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/none"))
    assert (error.code, type(error)) == ("read_back_differs", Transient)


async def test_access_denied(world: World, moto: str) -> None:
    """A missing permission is named, by the provider's own enforcement."""
    arn = await world.make("bucket")
    async with world.client("iam") as iam:
        name = f"nobody-{next(NAMES)}"
        await iam.create_user(UserName=name)
        key = (await iam.create_access_key(UserName=name))["AccessKey"]
    world.secret = key["SecretAccessKey"]
    post(moto, "/moto-api/reset-auth", "0")
    try:
        error = await failure_of(world, world.wish(arn, access_key_id=key["AccessKeyId"], endpoint_url=moto))
    finally:
        post(moto, "/moto-api/reset-auth", "inf")
    assert error.code == "access_denied"
    assert "s3:PutBucketTagging" in error.remedy


def _throttle(status: int) -> web.Response:
    return web.json_response({"__type": "ThrottlingException", "message": "Rate exceeded"}, status=status)


async def test_throttled_then_through(world: World) -> None:
    """Being asked to slow down is waited for, and the work is done in the end."""
    arn = await world.make("table")
    left = iter([True, True])
    world.line.refuse = lambda action: _throttle(400) if action == "TagResources" and next(left, False) else None
    assert (await world.tags.apply(world.wish(arn))).outcome == "applied"
    assert world.line.requests.count("TagResources") == 3


async def test_a_200_may_hide_failures(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures per resource are read out of a successful answer; those that throttle are tried again, others told."""
    monkeypatch.setattr("services.tagger.gateway.place.FIRST_WAIT", 0.01)
    arns = [await world.make("table") for _ in range(3)]
    hidden = iter([{arns[0]: ("ThrottlingException", 429), arns[1]: ("AccessDeniedException", 403)}])

    def refuse(action: str) -> web.Response | None:
        failed = next(hidden, None) if action == "TagResources" else None
        if failed is None:
            return None
        return web.json_response(
            {"FailedResourcesMap": {arn: {"StatusCode": status, "ErrorCode": code} for arn, (code, status) in failed.items()}},
            content_type="application/x-amz-json-1.1",
        )

    world.line.refuse = refuse
    async with world.tags._opened(world.wish(arns[0])) as (bulk, client, _arn):
        changes = [bulk.change(client, parsed, {}, {"a": "b"}, ()) for arn in arns if (parsed := Arn.parse(arn))]
        found = await asyncio.gather(*changes, return_exceptions=True)
    assert [getattr(each, "code", "") for each in found] == ["", "access_denied", ""]
    assert world.line.requests.count("TagResources") == 2
    assert (await world.now(arns[0]))["a"] == "b"


async def test_only_allowed_addresses_are_dialled(world: World) -> None:
    """A source cannot send us, and our signature, to an address of its choice."""
    error = await failure_of(world, world.wish(await world.make("bucket"), endpoint_url="http://169.254.169.254"))
    assert error.code == "endpoint_not_allowed"


async def test_no_library(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the failure names it."""
    import sys

    monkeypatch.setitem(sys.modules, "aiobotocore.config", None)
    error = await failure_of(world, world.wish("arn:aws:s3:::any"))
    assert (error.code, type(error)) == ("missing_extra", Failed)
    assert "pursight[aws]" in error.remedy


async def test_failures_repeat_no_words_of_the_provider(world: World) -> None:
    """What a provider says may hold anything; only our own words are passed on."""
    world.line.refuse = lambda action: web.Response(
        status=403, content_type="application/xml", text="<Error><Code>AccessDenied</Code><Message>user anna@acme.com</Message></Error>"
    )
    error = await failure_of(world, world.wish("arn:aws:s3:::any-bucket"))
    assert error.code == "access_denied"
    assert "anna" not in json.dumps([error.what, error.why, error.remedy])
    assert "s3:PutBucketTagging" in error.remedy


async def test_networks_volumes_and_groups(world: World) -> None:
    """What EC2 names, by EC2's own calls: written, found right, taken back with the value that is there; what does not exist is told."""
    async with world.client("ec2") as ec2:
        vpc = (await ec2.create_vpc(CidrBlock="10.9.0.0/16"))["Vpc"]["VpcId"]
        group = (await ec2.create_security_group(GroupName="tagger", Description="x", VpcId=vpc))["GroupId"]
        volume = (await ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1))["VolumeId"]
    for name in (f"vpc/{vpc}", f"security-group/{group}", f"volume/{volume}"):
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:{name}"
        first = await world.tags.apply(world.wish(arn))
        assert await world.now(arn) == TAGS
        assert (await world.tags.apply(world.wish(arn, ours=first.own))).outcome == "unchanged"
        await world.tags.apply(world.wish(arn, {"TenantId": "acme"}, ours=first.own))
        assert await world.now(arn) == {"TenantId": "acme"}
    error = await failure_of(world, world.wish(f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-0000000000000000"))
    assert error.code == "not_found"


@pytest.mark.parametrize("kind", ["role", "glue"])
async def test_roles_and_glue(world: World, kind: str) -> None:
    """By their own calls, because the bulk API knows no roles; others' tags stay."""
    name = f"tagger-{next(NAMES)}"
    if kind == "role":
        arn = f"arn:aws:iam::{ACCOUNT}:role/etl/{name}"
        async with world.client("iam") as iam:
            await iam.create_role(RoleName=name, Path="/etl/", AssumeRolePolicyDocument="{}", Tags=[{"Key": "Team", "Value": "other"}])
    else:
        arn = f"arn:aws:glue:{REGION}:{ACCOUNT}:crawler/{name}"
        async with world.client("glue") as glue:
            await glue.create_crawler(Name=name, Role="x", DatabaseName="x", Targets={}, Tags={"Team": "other"})
    first = await world.tags.apply(world.wish(arn))
    assert await world.now(arn) == TAGS | {"Team": "other"}
    await world.tags.apply(world.wish(arn, {}, ours=first.own))
    assert await world.now(arn) == {"Team": "other"}


async def test_who_writes_at_the_same_moment_shares_a_call(world: World) -> None:
    """Twenty-five resources with the same tags take two calls of the bulk API; each has its own result."""
    arn = await world.make("table")
    arns = [f"{arn}-{number}" for number in range(25)]
    calls: list[list[str]] = []

    class Client:
        async def tag_resources(self, *, ResourceARNList: list[str], Tags: dict[str, str]) -> dict[str, Any]:
            calls.append(ResourceARNList)
            failed = {"StatusCode": 403, "ErrorCode": "AccessDeniedException"}
            return {"FailedResourcesMap": {arns[3]: failed} if arns[3] in ResourceARNList else {}}

    bulk, client = BulkTags(), Client()
    wanted = [bulk.change(client, parsed, {}, TAGS, ()) for each in arns if (parsed := Arn.parse(each))]
    found = await asyncio.gather(*wanted, return_exceptions=True)
    assert sorted(map(len, calls)) == [5, 20]
    assert [number for number, error in enumerate(found) if error] == [3]
    assert getattr(found[3], "code", "") == "access_denied"


async def test_credentials_that_end_half_way(world: World) -> None:
    """Read, then refused at the write: told with what helps; once they are renewed, a second run completes it."""
    arn = await world.make("bucket")
    world.line.refuse = _refusing(400, "ExpiredToken", "PUT", "POST")
    error = await failure_of(world, world.wish(arn))
    assert (error.code, type(error)) == ("credentials_expired", Failed)
    world.line.refuse = lambda action: None
    assert (await world.tags.apply(world.wish(arn))).outcome == "applied"


def _refusing(status: int, code: str, *beginnings: str) -> Callable[[str], web.Response | None]:
    text = f"<Error><Code>{code}</Code></Error>"
    return lambda action: web.Response(status=status, content_type="application/xml", text=text) if action.startswith(beginnings) else None


async def test_two_processes_and_six_tenants_on_one_bucket_lose_nothing(world: World) -> None:
    """S3 Control merges, whoever writes at the same moment."""
    arn, other = await world.make("bucket"), World(world.line)
    sets = [{f"Key{tenant}": "x"} for tenant in range(6)]
    writers = [each.tags.apply(each.wish(arn, tags)) for each, part in ((world, sets[:3]), (other, sets[3:])) for tags in part]
    assert {done.outcome for done in await asyncio.gather(*writers)} == {"applied"}
    assert await world.now(arn) == {key: value for tags in sets for key, value in tags.items()}
    await other.tags.close()


async def test_what_another_process_overwrites_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where S3 Control is closed to us the whole set is replaced: who read before we wrote puts back what he knew, and nothing of ours."""
    monkeypatch.setattr("services.tagger.gateway.place.SETTLE_SECONDS", 0.0)
    arn = await world.make("bucket")
    name, looks = arn.rpartition(":")[2], count(1)
    closed = _refusing(403, "AccessDenied", "POST /v20180820")

    def between(action: str) -> web.Response | None:
        if action == f"GET /{name}?tagging" and next(looks) == 2:  # ours stands; now comes the other's
            body = b"<Tagging><TagSet><Tag><Key>Theirs</Key><Value>y</Value></Tag></TagSet></Tagging>"
            xml = {"Content-Type": "application/xml"}
            late = urllib.request.Request(f"{world.line.behind}/{name}?tagging", data=body, headers=xml, method="PUT")
            urllib.request.urlopen(late, timeout=60).close()
        return closed(action)

    world.line.refuse = between
    done = await world.tags.apply(world.wish(arn))
    assert (done.outcome, next(looks)) == ("applied", 5)
    assert await world.now(arn) == {**TAGS, "Theirs": "y"}


async def test_a_bucket_whose_tags_decide_who_may_use_it(world: World) -> None:
    """With ABAC on, S3 refuses to have the set replaced: S3 Control writes it; where that is not granted, this is what is told."""
    arn = await world.make("bucket")
    world.line.refuse = _refusing(405, "MethodNotAllowed", "PUT", "DELETE /tagger")
    first = await world.tags.apply(world.wish(arn))
    assert await world.now(arn) == TAGS
    assert (await world.tags.apply(world.wish(arn, {}, ours=first.own))).outcome == "applied"
    assert await world.now(arn) == {}
    no_whole_set = world.line.refuse
    for status, theirs, ours in ((403, "AccessDenied", "access_denied"), (301, "PermanentRedirect", "wrong_region")):
        closed = _refusing(status, theirs, "POST")
        world.line.refuse = lambda action, closed=closed: closed(action) or no_whole_set(action)  # type: ignore[misc]
        error = await failure_of(world, world.wish(arn))
        assert error.code == ours
        assert theirs != "AccessDenied" or "s3:TagResource" in error.remedy


async def test_a_network_that_leads_to_s3_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beside S3 is looked for once, not before each bucket."""
    arns = [await world.make("bucket") for _ in range(2)]
    asked = list[str]()

    async def nowhere(**_: Any) -> None:
        asked.append("sts")
        raise EndpointConnectionError(endpoint_url="https://sts")

    async with world.tags._opened(world.wish(arns[0])) as (_, (_, _, sts), _arn):
        monkeypatch.setattr(sts, "get_caller_identity", nowhere)
    monkeypatch.setattr("services.tagger.gateway.place.SETTLE_SECONDS", 0.0)
    for arn in arns:
        await world.tags.apply(world.wish(arn))
        assert await world.now(arn) == TAGS
    assert asked == ["sts"]


async def test_one_client_serves_many(world: World) -> None:
    """A client of an API is made once for an identity and region, whoever needs it, and ended with the writer."""
    arns = [await world.make("bucket") for _ in range(3)]
    await asyncio.gather(*(world.tags.apply(world.wish(arn)) for arn in arns))
    assert sorted(api for _, api, _ in world.tags._clients._kept) == ["s3", "s3control", "sts"]
    await world.tags.close()
    assert len(world.tags._clients._kept) == 0

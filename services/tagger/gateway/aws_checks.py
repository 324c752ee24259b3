"""Looks at what a job names in AWS; changes nothing. Whether we may tag is asked by EC2's dry run; elsewhere IAM is asked what our
policies come to, where it lets us ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from services.tagger.domain.checks import Looked, Wanted, first, judge_cluster, judge_network, judge_region, judge_room, missing
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.cloud.failures import diagnose
from shared.errors import PurSightError

SECONDS = 30.0  # for one look, its retries included
MOST_TAGS = 50
AT_ONCE = 8
_MISSING = frozenset({"404", "NoSuchBucket", "NoSuchEntity", "ClusterNotFoundException", "InvalidRequestException"})
_NEEDS = {
    "cluster": "elasticmapreduce:DescribeCluster (EMR) or ecs:DescribeClusters",
    "bucket": "s3:ListBucket, s3:GetBucketLocation, s3:GetBucketTagging",
    "network": "ec2:DescribeVpcs",
    "subnet": "ec2:DescribeSubnets",
    "group": "ec2:DescribeSecurityGroups",
    "role": "iam:GetRole, iam:GetInstanceProfile",
}


@dataclass(frozen=True, slots=True)
class Around:
    """What the job says besides: platform, region, network; and the tags that each resource shall carry."""

    platform: str
    region: str
    network: str
    account: str
    tags: Mapping[str, str]


class AwsChecks:
    """The looks. `sign_in` is ours: nobody's source asks for these."""

    def __init__(self, sessions: AwsSessions, sign_in: AwsSignIn) -> None:
        self._sessions, self._sign_in, self._gate = sessions, sign_in, asyncio.Semaphore(AT_ONCE)
        self._clients, self._open, self._principal = dict[str, asyncio.Future[Any]](), AsyncExitStack(), ""

    async def look(self, wanted: list[Wanted], around: Around) -> list[Looked]:
        """One result for each, in their order. Raises Failed or Transient where nobody could sign in."""
        async with self._open:
            account = await self._account()
            found = await asyncio.gather(*(self._one(each, around) for each in wanted))
        if around.account and around.account != account:
            why = f"we are signed in to {account}"
            remedy = "Sign in to the job's account, or correct account_id."
            place = Wanted("account", around.account, "infrastructure.runtime.account_id")
            found = [Looked(place, "wrong_account", why, remedy), *found]
        return found

    async def _account(self) -> str:
        sts = await self._client("sts")
        try:
            found = await sts.get_caller_identity()
        except Exception as error:
            raise diagnose(error) from None
        self._principal = _principal(str(found["Arn"]))
        return str(found["Account"])

    async def _one(self, wanted: Wanted, around: Around) -> Looked:
        looks: dict[str, Callable[[Wanted, Around], Awaitable[Looked]]] = {
            "cluster": self._ecs if around.platform in ("ecs", "fargate") else self._emr,
            "bucket": self._bucket,
            "network": self._network,
            "subnet": self._subnet,
            "group": self._group,
            "role": self._role,
        }
        try:
            async with self._gate, asyncio.timeout(SECONDS):
                return await looks[wanted.kind](wanted, around)
        except TimeoutError:
            return Looked(wanted, "unreachable", "no answer in time", "Check network, proxy and region.", sure=False)
        except Exception as error:
            return _told(wanted, error, around)

    async def _emr(self, wanted: Wanted, around: Around) -> Looked:
        emr = await self._client("emr")
        cluster = (await emr.describe_cluster(ClusterId=wanted.id))["Cluster"]
        looked = first(
            judge_cluster(wanted, cluster["Status"]["State"]),
            judge_room(wanted, _pairs(cluster.get("Tags", [])), around.tags, MOST_TAGS),
        )
        return await self._by_policy(looked, cluster["ClusterArn"], ("elasticmapreduce:AddTags",), ("elasticmapreduce:RemoveTags",))

    async def _ecs(self, wanted: Wanted, around: Around) -> Looked:
        ecs = await self._client("ecs")
        found = (await ecs.describe_clusters(clusters=[wanted.id], include=["TAGS"]))["clusters"]
        if not found:
            return _missing(wanted, around.region)
        tags = {tag["key"]: tag.get("value", "") for tag in found[0].get("tags", [])}
        looked = first(judge_cluster(wanted, found[0]["status"]), judge_room(wanted, tags, around.tags, MOST_TAGS))
        return await self._by_policy(looked, found[0]["clusterArn"], ("ecs:TagResource",), ("ecs:UntagResource",))

    async def _bucket(self, wanted: Wanted, around: Around) -> Looked:
        s3 = await self._client("s3")
        location = (await s3.get_bucket_location(Bucket=wanted.id)).get("LocationConstraint") or "us-east-1"
        region = judge_region(wanted, around.region, "eu-west-1" if location == "EU" else location)
        if region.code:
            return region
        await s3.head_bucket(Bucket=wanted.id)
        looked = judge_room(wanted, await _bucket_tags(s3, wanted.id), around.tags, MOST_TAGS)
        arn = f"arn:{self._partition}:s3:::{wanted.id}"
        return await self._by_policy(looked, arn, ("s3:TagResource", "s3:PutBucketTagging"), ("s3:UntagResource", "s3:PutBucketTagging"))

    async def _network(self, wanted: Wanted, around: Around) -> Looked:
        return await self._ec2(wanted, around, "describe_vpcs", {"VpcIds": [wanted.id]}, "Vpcs")

    async def _subnet(self, wanted: Wanted, around: Around) -> Looked:
        return await self._ec2(wanted, around, "describe_subnets", {"SubnetIds": [wanted.id]}, "Subnets")

    async def _group(self, wanted: Wanted, around: Around) -> Looked:
        return await self._ec2(wanted, around, "describe_security_groups", {"GroupIds": [wanted.id]}, "SecurityGroups")

    async def _ec2(self, wanted: Wanted, around: Around, call: str, arguments: dict[str, Any], name: str) -> Looked:
        ec2 = await self._client("ec2")
        found = (await getattr(ec2, call)(**arguments))[name][0]
        looked = first(
            judge_network(wanted, around.network, found["VpcId"]),
            judge_room(wanted, _pairs(found.get("Tags", [])), around.tags, MOST_TAGS),
        )
        return looked if looked.code else await _may_tag(ec2, wanted)

    async def _role(self, wanted: Wanted, around: Around) -> Looked:
        name = wanted.id.rpartition("/")[2]
        iam = await self._client("iam")
        if ":instance-profile/" in wanted.id:
            found = (await iam.get_instance_profile(InstanceProfileName=name))["InstanceProfile"]
        else:
            found = (await iam.get_role(RoleName=name))["Role"]
        if wanted.id.startswith("arn:") and found["Arn"] != wanted.id:
            return Looked(wanted, "role_elsewhere", f"its name is that of {found['Arn']}", "Correct account or path of the ARN.")
        looked = judge_room(wanted, _pairs(found.get("Tags", [])), around.tags, MOST_TAGS)
        kind = "InstanceProfile" if ":instance-profile/" in wanted.id else "Role"
        return await self._by_policy(looked, found["Arn"], (f"iam:Tag{kind}",), (f"iam:Untag{kind}",))

    async def _by_policy(self, looked: Looked, arn: str, *needed: tuple[str, ...]) -> Looked:
        """Of each group one action must be allowed. Where IAM does not tell, all is well as far as we know, and that is said."""
        if looked.code or not self._principal:
            return looked
        iam, actions = await self._client("iam"), list(dict.fromkeys(action for group in needed for action in group))
        try:
            told = await iam.simulate_principal_policy(PolicySourceArn=self._principal, ActionNames=actions, ResourceArns=[arn])
        except Exception as error:
            if not isinstance(diagnose(error), PurSightError):
                raise
            return replace(looked, why="whether we may tag it is not known: IAM did not tell (iam:SimulatePrincipalPolicy)")
        given = {each["EvalActionName"] for each in told["EvaluationResults"] if each["EvalDecision"] == "allowed"}
        lacking = [" or ".join(group) for group in needed if not given & set(group)]
        if lacking:
            return Looked(looked.wanted, "not_taggable", "our identity may not tag it", f"Grant {', '.join(lacking)}.")
        return looked

    @property
    def _partition(self) -> str:
        return self._principal.split(":")[1] if self._principal else "aws"

    async def _client(self, api: str) -> Any:
        """One client of each service, for all looks: to make one costs more than to use it."""
        if api not in self._clients:
            self._clients[api] = asyncio.ensure_future(self._open.enter_async_context(self._sessions.client(self._sign_in, api)))
        return await asyncio.shield(self._clients[api])


def _principal(caller: str) -> str:
    """Whose policies hold for this caller: of a session the role, whose path is not told; empty for the account itself, who may all.

    >>> _principal("arn:aws:sts::123456789012:assumed-role/tagging/me"), _principal("arn:aws:iam::123456789012:root")
    ('arn:aws:iam::123456789012:role/tagging', '')
    """
    if ":assumed-role/" in caller:
        before, _, rest = caller.partition(":assumed-role/")
        return f"{before.replace(':sts:', ':iam:')}:role/{rest.partition('/')[0]}"
    return caller if ":user/" in caller else ""


async def _bucket_tags(s3: Any, name: str) -> dict[str, str]:
    try:
        return _pairs((await s3.get_bucket_tagging(Bucket=name))["TagSet"])
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchTagSet":
            return {}
        raise


async def _may_tag(ec2: Any, wanted: Wanted) -> Looked:
    """EC2 answers a dry run with an error either way: which one tells."""
    try:
        await ec2.create_tags(DryRun=True, Resources=[wanted.id], Tags=[{"Key": "ManagedBy", "Value": "pursight"}])
    except ec2.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "UnauthorizedOperation":
            return Looked(wanted, "not_taggable", "our identity may not tag it", "Grant ec2:CreateTags and ec2:DeleteTags.")
        if code != "DryRunOperation":
            raise
    return Looked(wanted)


def _told(wanted: Wanted, error: Exception, around: Around) -> Looked:
    """Our words for what went wrong; a bug of ours stays one."""
    if _code(error) in _MISSING or _code(error).endswith((".NotFound", ".Malformed")):
        return _missing(wanted, around.region)
    told = diagnose(error)
    if not isinstance(told, PurSightError):
        raise told
    if told.code == "access_denied":
        return Looked(wanted, "access_denied", told.why, f"Grant {_NEEDS[wanted.kind]}.", sure=False)
    if told.code == "not_found":
        return _missing(wanted, around.region)
    return Looked(wanted, told.code, told.why, told.remedy, sure=told.code == "wrong_region")


def _code(error: BaseException | None) -> str:
    """The provider's own code; ours hide it in their context."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, Mapping):
            return str(answer.get("Error", {}).get("Code", ""))
        error = error.__context__
    return ""


def _missing(wanted: Wanted, region: str) -> Looked:
    return missing(wanted, "" if wanted.kind in ("bucket", "role") or not region else f" in {region}", "region and account")


def _pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}

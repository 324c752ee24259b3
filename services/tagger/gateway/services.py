"""How each AWS service reads and changes tags. One class per API; the bulk API serves all that have none of their own here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from services.tagger.domain.targets import Arn
from shared.cloud.failures import diagnose, failure
from shared.errors import PurSightError


class TagService(Protocol):
    """Reads and changes the tags of one resource by one API. Errors of the library are translated by the caller.

    `client` is that of the API in `apis`; where there are several, a list of them in this order.
    """

    apis: tuple[str, ...]
    reads: str  # the permission that reading needs
    writes: str  # the permissions that changing needs

    async def read(self, client: Any, arn: Arn) -> dict[str, str]: ...

    async def change(
        self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]
    ) -> bool | None:
        """`current` is what was read just before. True where all tags were replaced, whatever others wrote meanwhile."""


class S3Tags:
    """Buckets. S3 Control merges, and is the only way where a bucket's tags decide who may use it (ABAC). Where it is closed to us the
    whole set is replaced: everything of others that was read just before goes back in."""

    apis: tuple[str, ...] = ("s3", "s3control", "sts")
    reads = "s3:GetBucketTagging"
    writes = "s3:TagResource and s3:UntagResource, or s3:PutBucketTagging where a bucket has no ABAC"

    def __init__(self) -> None:
        self._accounts: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # by client of STS
        self._unreachable: WeakSet[Any] = WeakSet()  # clients of S3 Control that no network leads to

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        s3, _, _ = client
        try:
            answer = await s3.get_bucket_tagging(Bucket=_bucket(arn))
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchTagSet":
                return {}
            raise
        return _pairs(answer["TagSet"])

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> bool:
        s3, control, sts = client
        refused = await self._merged(control, sts, arn, write, remove)
        if refused is None:
            return False
        try:
            await _replace(s3, _bucket(arn), current, write, remove)
        except s3.exceptions.ClientError as error:
            if refused.code == "access_denied" or getattr(diagnose(error), "code", "") == "provider_error":  # as of a bucket with ABAC
                raise refused from None
            raise
        return True

    async def _merged(self, control: Any, sts: Any, arn: Arn, write: Mapping[str, str], remove: Collection[str]) -> PurSightError | None:
        """None once S3 Control has made the change, else why it is closed to us. Raises where it only asks us to slow down."""
        if control in self._unreachable:
            return failure("unreachable")
        try:
            if sts not in self._accounts:
                self._accounts[sts] = (await sts.get_caller_identity())["Account"]
            which = {"AccountId": self._accounts[sts], "ResourceArn": arn.text.partition("/")[0]}
            if write:
                await control.tag_resource(**which, Tags=_list(write))
            if remove:
                await control.untag_resource(**which, TagKeys=sorted(remove))
        except Exception as error:
            told = diagnose(error)
            if not isinstance(told, PurSightError) or told.code == "throttled":
                raise
            if told.code == "unreachable" and not hasattr(error, "response"):
                self._unreachable.add(control)
            return told
        return None


async def _replace(s3: Any, bucket: str, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
    kept = {key: value for key, value in (dict(current) | dict(write)).items() if key not in remove}
    if kept:
        await s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": _list(kept)})
    else:
        await s3.delete_bucket_tagging(Bucket=bucket)


class RdsTags:
    """Instances, clusters and what else RDS names."""

    apis: tuple[str, ...] = ("rds",)
    reads = "rds:ListTagsForResource"
    writes = "rds:AddTagsToResource, rds:RemoveTagsFromResource"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        return _pairs((await client.list_tags_for_resource(ResourceName=arn.text))["TagList"])

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await client.add_tags_to_resource(ResourceName=arn.text, Tags=_list(write))
        if remove:
            await client.remove_tags_from_resource(ResourceName=arn.text, TagKeys=sorted(remove))


class EmrTags:
    """Clusters of EMR on EC2."""

    apis: tuple[str, ...] = ("emr",)
    reads = "elasticmapreduce:DescribeCluster"
    writes = "elasticmapreduce:AddTags, elasticmapreduce:RemoveTags"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        return _pairs((await client.describe_cluster(ClusterId=_id(arn)))["Cluster"].get("Tags", []))

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await client.add_tags(ResourceId=_id(arn), Tags=_list(write))
        if remove:
            await client.remove_tags(ResourceId=_id(arn), TagKeys=sorted(remove))


class Ec2Tags:
    """Instances, volumes, networks, subnets, security groups and what else EC2 names. A tag is removed only with the value it has."""

    apis: tuple[str, ...] = ("ec2",)
    reads = "ec2:DescribeTags"
    writes = "ec2:CreateTags, ec2:DeleteTags"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        """Empty for what does not exist, too: EC2 says so when something is written."""
        wanted = [{"Name": "resource-id", "Values": [_id(arn)]}]
        return _pairs((await client.describe_tags(Filters=wanted))["Tags"])

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await client.create_tags(Resources=[_id(arn)], Tags=_list(write))
        if remove:
            await client.delete_tags(Resources=[_id(arn)], Tags=_list({key: current[key] for key in remove}))


class IamTags:
    """Roles and instance profiles, which the bulk API does not know."""

    apis: tuple[str, ...] = ("iam",)
    reads = "iam:ListRoleTags, iam:ListInstanceProfileTags"
    writes = "iam:TagRole, iam:UntagRole, iam:TagInstanceProfile, iam:UntagInstanceProfile"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        kind, name = _iam(arn)
        list_tags = client.list_role_tags if kind == "Role" else client.list_instance_profile_tags
        found, more = list[Mapping[str, str]](), dict[str, str]()
        while True:
            answer = await list_tags(**name, **more)
            found += answer["Tags"]
            if not answer.get("IsTruncated"):
                return _pairs(found)
            more = {"Marker": answer["Marker"]}

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
        kind, name = _iam(arn)
        if write:
            await (client.tag_role if kind == "Role" else client.tag_instance_profile)(**name, Tags=_list(write))
        if remove:
            await (client.untag_role if kind == "Role" else client.untag_instance_profile)(**name, TagKeys=sorted(remove))


class GlueTags:
    """Databases, crawlers, jobs and what else Glue names."""

    apis: tuple[str, ...] = ("glue",)
    reads = "glue:GetTags"
    writes = "glue:TagResource, glue:UntagResource"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        return dict((await client.get_tags(ResourceArn=arn.text)).get("Tags", {}))

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await client.tag_resource(ResourceArn=arn.text, TagsToAdd=dict(write))
        if remove:
            await client.untag_resource(ResourceArn=arn.text, TagsToRemove=sorted(remove))


def _bucket(arn: Arn) -> str:
    return arn.name.partition("/")[0]


def _id(arn: Arn) -> str:
    """`cluster/j-2AXX` is `j-2AXX`."""
    return arn.name.rpartition("/")[2]


def _iam(arn: Arn) -> tuple[str, dict[str, str]]:
    """A path in a role's ARN is no part of its name."""
    if arn.name.startswith("instance-profile/"):
        return "InstanceProfile", {"InstanceProfileName": _id(arn)}
    return "Role", {"RoleName": _id(arn)}


def _pairs(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def _list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


SERVICES: dict[str, TagService] = {
    "s3": S3Tags(),
    "rds": RdsTags(),
    "elasticmapreduce": EmrTags(),
    "ec2": Ec2Tags(),
    "iam": IamTags(),
    "glue": GlueTags(),
}

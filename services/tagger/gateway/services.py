"""How each AWS service reads and changes tags. One class per API; the bulk API serves all that have none of their own here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from services.tagger.domain.targets import Arn
from shared.cloud.failures import refusal
from shared.errors import PurSightError, Transient

BULK = 20  # ARNs of one call, the API's limit
ATTEMPTS = 6
FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0  # seconds


class TagService(Protocol):
    """Reads and changes the tags of one resource by one API. Errors of the library are translated by the caller."""

    api: str
    reads: str  # the permission that reading needs
    writes: str  # the permissions that changing needs

    async def read(self, client: Any, arn: Arn) -> dict[str, str]: ...

    async def change(self, client: Any, arn: Arn, write: Mapping[str, str], remove: Collection[str]) -> None: ...


class S3Tags:
    """Buckets. Writing replaces the whole set, so it is read again just before, and everything of others goes back in."""

    api = "s3"
    reads = "s3:GetBucketTagging"
    writes = "s3:GetBucketTagging, s3:PutBucketTagging"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        try:
            answer = await client.get_bucket_tagging(Bucket=_bucket(arn))
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchTagSet":
                return {}
            raise
        return _pairs(answer["TagSet"])

    async def change(self, client: Any, arn: Arn, write: Mapping[str, str], remove: Collection[str]) -> None:
        merged = await self.read(client, arn) | dict(write)
        kept = {key: value for key, value in merged.items() if key not in remove}
        if kept:
            await client.put_bucket_tagging(Bucket=_bucket(arn), Tagging={"TagSet": _list(kept)})
        else:
            await client.delete_bucket_tagging(Bucket=_bucket(arn))


class RdsTags:
    """Instances, clusters and what else RDS names."""

    api = "rds"
    reads = "rds:ListTagsForResource"
    writes = "rds:AddTagsToResource, rds:RemoveTagsFromResource"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        return _pairs((await client.list_tags_for_resource(ResourceName=arn.text))["TagList"])

    async def change(self, client: Any, arn: Arn, write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await client.add_tags_to_resource(ResourceName=arn.text, Tags=_list(write))
        if remove:
            await client.remove_tags_from_resource(ResourceName=arn.text, TagKeys=sorted(remove))


class EmrTags:
    """Clusters of EMR on EC2."""

    api = "emr"
    reads = "elasticmapreduce:DescribeCluster"
    writes = "elasticmapreduce:AddTags, elasticmapreduce:RemoveTags"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        return _pairs((await client.describe_cluster(ClusterId=_cluster(arn)))["Cluster"].get("Tags", []))

    async def change(self, client: Any, arn: Arn, write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await client.add_tags(ResourceId=_cluster(arn), Tags=_list(write))
        if remove:
            await client.remove_tags(ResourceId=_cluster(arn), TagKeys=sorted(remove))


class BulkTags:
    """Everything that the resource groups tagging API knows."""

    api = "resourcegroupstaggingapi"
    reads = "tag:GetResources"
    writes = "tag:TagResources, tag:UntagResources and the service's own tagging permission"

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        """Empty where the resource never had a tag; the API does not tell that from a resource that is not there."""
        found = (await client.get_resources(ResourceARNList=[arn.text]))["ResourceTagMappingList"]
        return _pairs(found[0]["Tags"]) if found else {}

    async def change(self, client: Any, arn: Arn, write: Mapping[str, str], remove: Collection[str]) -> None:
        failed: dict[str, PurSightError] = {}
        if write:
            failed |= await tag_resources(client, [arn.text], dict(write))
        if remove:
            failed |= await untag_resources(client, [arn.text], sorted(remove))
        if arn.text in failed:
            raise failed[arn.text]


async def tag_resources(client: Any, arns: Sequence[str], tags: Mapping[str, str]) -> dict[str, PurSightError]:
    """Give all these resources (of one account and region) the same tags; returns those that failed, with why."""
    return await _bulk(client.tag_resources, arns, {"Tags": dict(tags)})


async def untag_resources(client: Any, arns: Sequence[str], keys: Sequence[str]) -> dict[str, PurSightError]:
    """Take these keys from all these resources; returns those that failed, with why."""
    return await _bulk(client.untag_resources, arns, {"TagKeys": list(keys)})


async def _bulk(call: Any, arns: Sequence[str], arguments: Mapping[str, Any]) -> dict[str, PurSightError]:
    failed: dict[str, PurSightError] = {}
    for chunk in _chunks(arns, BULK):
        failed |= await _patiently(call, chunk, arguments)
    return failed


async def _patiently(call: Any, arns: Sequence[str], arguments: Mapping[str, Any]) -> dict[str, PurSightError]:
    """One call; a 200 may hide failures, and only those that say slow down are tried again."""
    left, failed = list(arns), dict[str, PurSightError]()
    for wait in waits():
        answer = await call(ResourceARNList=left, **arguments)
        errors = {arn: refusal(why.get("ErrorCode", ""), why.get("StatusCode")) for arn, why in answer["FailedResourcesMap"].items()}
        failed = {arn: error for arn, error in failed.items() if arn not in left} | errors
        left = [arn for arn, error in errors.items() if isinstance(error, Transient)]
        if not left:
            break
        await asyncio.sleep(wait)
    return failed


def waits() -> Iterator[float]:
    """Growing delays with full jitter, in seconds."""
    for attempt in range(ATTEMPTS):
        yield random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt))


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _bucket(arn: Arn) -> str:
    return arn.name.partition("/")[0]


def _cluster(arn: Arn) -> str:
    return arn.name.removeprefix("cluster/")


def _pairs(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def _list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


SERVICES: dict[str, TagService] = {"s3": S3Tags(), "rds": RdsTags(), "elasticmapreduce": EmrTags()}
BULK_SERVICE: TagService = BulkTags()

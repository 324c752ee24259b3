"""The Resource Groups Tagging API: one call gives up to twenty resources of one account and region the same tags.

Whoever writes at the same moment shares a call. A 200 may hide failures, which are read out for each resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.tagger.domain.targets import Arn
from services.tagger.gateway.place import waits
from shared.cloud.failures import failure, refusal
from shared.errors import PurSightError, Transient

BULK = 20  # ARNs of one call, the API's limit
GATHER_SECONDS = 0.02  # how long a call waits for others with the same tags


class BulkTags:
    """Everything that the tagging API knows and that has no class of its own."""

    apis: tuple[str, ...] = ("resourcegroupstaggingapi",)
    reads = "tag:GetResources"
    writes = "tag:TagResources, tag:UntagResources and the service's own tagging permission"

    def __init__(self) -> None:
        self._calls: dict[Hashable, _Call] = {}

    async def read(self, client: Any, arn: Arn) -> dict[str, str]:
        """Empty where the resource never had a tag; the API does not tell that from a resource that is not there."""
        found = (await client.get_resources(ResourceARNList=[arn.text]))["ResourceTagMappingList"]
        return {tag["Key"]: tag.get("Value", "") for tag in found[0]["Tags"]} if found else {}

    async def change(self, client: Any, arn: Arn, current: Mapping[str, str], write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await self._together(client, arn, "tag_resources", {"Tags": dict(write)})
        if remove:
            await self._together(client, arn, "untag_resources", {"TagKeys": sorted(remove)})

    async def _together(self, client: Any, arn: Arn, action: str, arguments: Mapping[str, Any]) -> None:
        """Make this call together with equal ones for the same client (identity and region) and account. Raises what befell this ARN."""
        key = (id(client), arn.account, action, repr(arguments))
        call = self._calls.get(key)
        if call is None or len(call.arns) >= BULK:
            call = self._calls[key] = _Call()
            call.task = asyncio.create_task(self._made(key, call, getattr(client, action), arguments))
        call.arns.append(arn.text)
        assert call.task is not None
        failed = await asyncio.shield(call.task)
        if arn.text in failed:
            raise failed[arn.text]

    async def _made(self, key: Hashable, call: _Call, make: Any, arguments: Mapping[str, Any]) -> dict[str, PurSightError]:
        await asyncio.sleep(GATHER_SECONDS)
        if self._calls.get(key) is call:
            del self._calls[key]  # who comes now is not in this call
        return await _patiently(make, call.arns, arguments)


@dataclass(slots=True)
class _Call:
    arns: list[str] = field(default_factory=list)
    task: asyncio.Task[dict[str, PurSightError]] | None = None


async def _patiently(call: Any, arns: Sequence[str], arguments: Mapping[str, Any]) -> dict[str, PurSightError]:
    """One call; only failures that say slow down are tried again."""
    left, failed = list(arns), dict[str, PurSightError]()
    for wait in waits():
        answer = await call(ResourceARNList=left, **arguments)
        errors = {arn: _refusal(why) for arn, why in answer["FailedResourcesMap"].items()}
        failed = {arn: error for arn, error in failed.items() if arn not in left} | errors
        left = [arn for arn, error in errors.items() if isinstance(error, Transient)]
        if not left:
            break
        await asyncio.sleep(wait)
    return failed


def _refusal(why: Mapping[str, Any]) -> PurSightError:
    """`InternalServiceException` with 404 is how the API says that it does not know this kind of resource."""
    if why.get("StatusCode") == 404:
        return failure("not_found")
    return refusal(why.get("ErrorCode", ""), why.get("StatusCode"))

"""Looks at what a job names in Azure; changes nothing. Whether we may tag is read from what Azure says that we may at each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from services.tagger.domain.checks import Looked, Wanted, first, judge_cluster, judge_network, judge_region, judge_room
from services.tagger.domain.placed import AZURE_KINDS, azure_account, azure_id
from services.tagger.gateway.azure import scope_of
from services.tagger.gateway.looks import Look, Looks, allowed, got
from services.tagger.gateway.rest import Edge
from shared.contracts.job import AksRuntime

MOST_TAGS = 50
MAY_TAG = "microsoft.resources/tags/write"
_VERSIONS = {"cluster": "2024-05-01", "bucket": "2023-05-01", "network": "2024-05-01", "group": "2024-05-01", "role": "2023-01-31"}
_PERMISSIONS = {"api-version": "2022-04-01"}


@dataclass(frozen=True, slots=True)
class Around:
    """What the job says besides, and the tags that each resource shall carry."""

    runtime: AksRuntime
    tags: Mapping[str, str]


class AzureChecks(Looks):
    """The looks at Resource Manager; `edge` is that of whoever asks."""

    needs = dict.fromkeys((*AZURE_KINDS, "subnet"), "the role Reader on it")
    also = "subscription_id and resource_group"
    none = ("Azure has no such thing", "Remove it.")

    def __init__(self, edge: Edge, around: Around) -> None:
        super().__init__(edge.bearer)
        self._edge, self._runtime, self._tags = edge, around.runtime, around.tags

    def of(self, kind: str) -> Look | None:
        return self._subnet if kind == "subnet" else self._resource if kind in AZURE_KINDS else None

    async def _resource(self, wanted: Wanted) -> Looked:
        name = azure_account(self._runtime.storage.bucket) if wanted.kind == "bucket" else wanted.id
        scope = azure_id(self._runtime, name, AZURE_KINDS[wanted.kind])
        if not scope:
            remedy = "Set infrastructure.runtime.subscription_id and resource_group, or give the whole resource id."
            return Looked(wanted, "group_missing", "the job does not say in which subscription and resource group", remedy)
        path = quote(scope_of(scope), safe="/()")
        found = await got(self._edge, path, {"api-version": _VERSIONS[wanted.kind]})
        ours = {key.casefold(): value for key, value in self._tags.items()}
        looked = first(
            judge_cluster(wanted, _state(found)) if wanted.kind == "cluster" else Looked(wanted),
            judge_region(wanted, self._runtime.region, _region(found)),
            judge_room(wanted, {key.casefold(): value for key, value in (found.get("tags") or {}).items()}, ours, MOST_TAGS),
        )
        return looked if looked.code else allowed(wanted, await self._may_tag(path), "Tag Contributor")

    async def _subnet(self, wanted: Wanted) -> Looked:
        """Subnets carry no tags; by a name alone it is one of the job's network."""
        network = azure_id(self._runtime, self._runtime.network.vpc_id, AZURE_KINDS["network"])
        if not wanted.id.startswith("/") and not (self._runtime.network.vpc_id and network):
            why, remedy = "the job does not say in which network", "Set infrastructure.runtime.network.vpc_id, or give the whole id."
            return Looked(wanted, "network_missing", why, remedy)
        scope = wanted.id if wanted.id.startswith("/") else f"{network}/subnets/{wanted.id}"
        await got(self._edge, quote(scope_of(scope), safe="/()"), {"api-version": _VERSIONS["network"]})
        found = scope.partition("/subnets/")[0].casefold()
        return judge_network(wanted, network.casefold() if self._runtime.network.vpc_id else "", found)

    async def _may_tag(self, path: str) -> bool:
        """What one assignment of a role gives is taken back only by itself."""
        answer = await got(self._edge, f"{path}/providers/Microsoft.Authorization/permissions", _PERMISSIONS)
        return any(_gives(each) for each in answer.get("value") or ())


def _gives(permission: Mapping[str, Any]) -> bool:
    given, taken = (
        any(fnmatchcase(MAY_TAG, str(pattern).lower()) for pattern in permission.get(name) or ()) for name in ("actions", "notActions")
    )
    return given and not taken


def _state(found: Mapping[str, Any]) -> str:
    properties = found.get("properties") or {}
    power = str((properties.get("powerState") or {}).get("code", ""))
    return power if power == "Stopped" else str(properties.get("provisioningState", ""))


def _region(found: Mapping[str, Any]) -> str:
    """`West Europe` and `westeurope` are one."""
    return str(found.get("location", "")).replace(" ", "").lower()

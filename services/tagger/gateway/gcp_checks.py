"""Looks at what a job names in Google Cloud; changes nothing. Whether we may label is asked by the APIs' own tests of permissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from services.tagger.domain.checks import Looked, Wanted, first, judge_cluster, judge_network, judge_region, judge_room, missing
from services.tagger.gateway.looks import Look, Looks, allowed, got
from services.tagger.gateway.rest import Bearer, Edge

HOSTS = {name: f"https://{name}.googleapis.com" for name in ("cloudresourcemanager", "compute", "container", "dataproc", "iam", "storage")}
MOST_LABELS = 64
_NEEDS = {
    "cluster": "container.clusters.get or dataproc.clusters.get",
    "bucket": "storage.buckets.get",
    "network": "compute.networks.get",
    "subnet": "compute.subnetworks.get",
    "role": "iam.serviceAccounts.get",
}


@dataclass(frozen=True, slots=True)
class Around:
    """What the job says besides: platform, project, region, network; and the labels that each resource shall carry."""

    platform: str
    project: str
    region: str
    network: str
    labels: Mapping[str, str]


class GcpChecks(Looks):
    """The looks, as whoever `bearer` stands for."""

    needs = _NEEDS
    also = "project and region"
    none = ("Google has no such thing", "Remove it: firewalls there belong to the network.")

    def __init__(self, http: httpx.AsyncClient, bearer: Bearer, around: Around) -> None:
        super().__init__(bearer)
        self._http, self._around = http, around

    def of(self, kind: str) -> Look | None:
        looks: dict[str, Look] = {
            "cluster": self._dataproc if self._around.platform == "dataproc" else self._gke,
            "bucket": self._bucket,
            "network": self._network,
            "subnet": self._subnet,
            "role": self._account,
        }
        return looks.get(kind)

    async def _gke(self, wanted: Wanted) -> Looked:
        name = wanted.id.rpartition("/")[2]
        found = await self._get("container", f"/v1/projects/{_part(self._around.project)}/locations/-/clusters")
        here = [each for each in found.get("clusters") or () if each["name"] == name]
        cluster = next((each for each in here if _within(each["location"], self._around.region)), here[0] if here else None)
        if cluster is None:
            return missing(wanted, "", self.also)
        if not _within(cluster["location"], self._around.region):
            return judge_region(wanted, self._around.region, cluster["location"])
        looked = first(
            judge_cluster(wanted, cluster["status"]),
            judge_network(wanted, _name(self._around.network), cluster.get("network", "")),
            judge_room(wanted, cluster.get("resourceLabels") or {}, self._around.labels, MOST_LABELS),
        )
        return looked if looked.code else await self._may(wanted, self._around.project, "container.clusters.update")

    async def _dataproc(self, wanted: Wanted) -> Looked:
        where = f"/v1/projects/{_part(self._around.project)}/regions/{_part(self._around.region)}/clusters/{_part(_name(wanted.id))}"
        cluster = await self._get("dataproc", where)
        looked = first(
            judge_cluster(wanted, cluster["status"]["state"]),
            judge_room(wanted, cluster.get("labels") or {}, self._around.labels, MOST_LABELS),
        )
        return looked if looked.code else await self._may(wanted, self._around.project, "dataproc.clusters.update")

    async def _bucket(self, wanted: Wanted) -> Looked:
        path, needed = f"/storage/v1/b/{_part(wanted.id)}", "storage.buckets.update"
        bucket = await self._get("storage", path)
        location = bucket["location"].lower()
        one_region = "-" in location  # EU, US and pairs of regions are wider than one
        looked = first(
            judge_region(wanted, self._around.region, location if one_region else ""),
            judge_room(wanted, bucket.get("labels") or {}, self._around.labels, MOST_LABELS),
        )
        if looked.code:
            return looked
        given = await self._get("storage", f"{path}/iam/testPermissions", {"permissions": needed})
        return allowed(wanted, needed in (given.get("permissions") or ()), needed)

    async def _network(self, wanted: Wanted) -> Looked:
        """Networks carry no labels."""
        await self._get("compute", f"/compute/v1/projects/{_project(wanted.id, self._around)}/global/networks/{_part(_name(wanted.id))}")
        return Looked(wanted)

    async def _subnet(self, wanted: Wanted) -> Looked:
        home = f"/compute/v1/projects/{_project(wanted.id, self._around)}/regions/{_part(self._around.region)}"
        found = await self._get("compute", f"{home}/subnetworks/{_part(_name(wanted.id))}")
        return judge_network(wanted, _name(self._around.network), _name(found["network"]))

    async def _account(self, wanted: Wanted) -> Looked:
        found = await self._get("iam", f"/v1/projects/-/serviceAccounts/{_part(wanted.id)}")
        if found.get("disabled"):
            return Looked(wanted, "role_disabled", "the account is disabled", "Enable it, or name another.")
        return Looked(wanted)

    async def _may(self, wanted: Wanted, project: str, needed: str) -> Looked:
        path = f"/v1/projects/{_part(project)}:testIamPermissions"
        given = await self._edge("cloudresourcemanager", wanted.kind).call("POST", path, body={"permissions": [needed]})
        return allowed(wanted, needed in (given.body.get("permissions") or ()), needed)

    async def _get(self, host: str, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        return await got(self._edge(host, ""), path, query)

    def _edge(self, host: str, needs: str) -> Edge:
        return Edge(self._http, HOSTS[host], self._bearer, needs)


def _within(location: str, region: str) -> bool:
    """A zone is within its region."""
    return not region or location == region or location.startswith(f"{region}-")


def _name(link: str) -> str:
    return link.rpartition("/")[2]


def _project(link: str, around: Around) -> str:
    """A shared network's link names its own project."""
    _, named, rest = link.partition("projects/")
    return _part(rest.partition("/")[0] if named else around.project)


def _part(text: str) -> str:
    return quote(text, safe="")

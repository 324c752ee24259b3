"""Looks at what a job names in Google Cloud; changes nothing. Whether we may label is asked by the APIs' own tests of permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from services.tagger.domain.checks import Looked, Wanted, judge_cluster, judge_network, judge_region, judge_room
from services.tagger.gateway.place import Stale
from services.tagger.gateway.rest import Bearer, Edge
from shared.errors import PurSightError

HOSTS = {name: f"https://{name}.googleapis.com" for name in ("cloudresourcemanager", "compute", "container", "dataproc", "iam", "storage")}
SECONDS = 30.0  # for one look, its retries included
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


class GcpChecks:
    """The looks, as whoever `bearer` stands for."""

    def __init__(self, http: httpx.AsyncClient, bearer: Bearer) -> None:
        self._http, self._bearer = http, bearer

    async def look(self, wanted: list[Wanted], around: Around) -> list[Looked]:
        """One result for each, in their order. Raises Failed or Transient where nobody could sign in."""
        await self._bearer(False)
        return list(await asyncio.gather(*(self._one(each, around) for each in wanted)))

    async def _one(self, wanted: Wanted, around: Around) -> Looked:
        looks: dict[str, Callable[[Wanted, Around], Awaitable[Looked]]] = {
            "cluster": self._dataproc if around.platform == "dataproc" else self._gke,
            "bucket": self._bucket,
            "network": self._network,
            "subnet": self._subnet,
            "role": self._account,
        }
        if wanted.kind not in looks:
            return Looked(
                wanted, "not_looked_at", "Google has no such thing", "Remove it: firewalls there belong to the network.", sure=False
            )
        try:
            async with asyncio.timeout(SECONDS):
                return await looks[wanted.kind](wanted, around)
        except TimeoutError:
            return Looked(wanted, "unreachable", "no answer in time", "Check network and proxy.", sure=False)
        except PurSightError as error:
            return _told(wanted, error)
        except Stale:
            return Looked(wanted, "unreachable", "it is being changed", "Look again in a minute.", sure=False)

    async def _gke(self, wanted: Wanted, around: Around) -> Looked:
        name = wanted.id.rpartition("/")[2]
        found = await self._get("container", f"/v1/projects/{_part(around.project)}/locations/-/clusters")
        here = [each for each in found.get("clusters") or () if each["name"] == name]
        cluster = next((each for each in here if _within(each["location"], around.region)), here[0] if here else None)
        if cluster is None:
            return _missing(wanted)
        if not _within(cluster["location"], around.region):
            return judge_region(wanted, around.region, cluster["location"])
        looked = _first(
            judge_cluster(wanted, cluster["status"]),
            judge_network(wanted, _name(around.network), cluster.get("network", "")),
            judge_room(wanted, cluster.get("resourceLabels") or {}, around.labels, MOST_LABELS),
        )
        return looked if looked.code else await self._may(wanted, around.project, "container.clusters.update")

    async def _dataproc(self, wanted: Wanted, around: Around) -> Looked:
        where = f"/v1/projects/{_part(around.project)}/regions/{_part(around.region)}/clusters/{_part(_name(wanted.id))}"
        cluster = await self._get("dataproc", where)
        looked = _first(
            judge_cluster(wanted, cluster["status"]["state"]),
            judge_room(wanted, cluster.get("labels") or {}, around.labels, MOST_LABELS),
        )
        return looked if looked.code else await self._may(wanted, around.project, "dataproc.clusters.update")

    async def _bucket(self, wanted: Wanted, around: Around) -> Looked:
        path, needed = f"/storage/v1/b/{_part(wanted.id)}", "storage.buckets.update"
        bucket = await self._get("storage", path)
        location = bucket["location"].lower()
        one_region = "-" in location  # EU, US and pairs of regions are wider than one
        looked = _first(
            judge_region(wanted, around.region, location if one_region else ""),
            judge_room(wanted, bucket.get("labels") or {}, around.labels, MOST_LABELS),
        )
        if looked.code:
            return looked
        given = await self._get("storage", f"{path}/iam/testPermissions", {"permissions": needed})
        return _judge_may(wanted, given, needed)

    async def _network(self, wanted: Wanted, around: Around) -> Looked:
        """Networks carry no labels."""
        await self._get("compute", f"/compute/v1/projects/{_project(wanted.id, around)}/global/networks/{_part(_name(wanted.id))}")
        return Looked(wanted)

    async def _subnet(self, wanted: Wanted, around: Around) -> Looked:
        where = f"/compute/v1/projects/{_project(wanted.id, around)}/regions/{_part(around.region)}/subnetworks/{_part(_name(wanted.id))}"
        found = await self._get("compute", where)
        return judge_network(wanted, _name(around.network), _name(found["network"]))

    async def _account(self, wanted: Wanted, around: Around) -> Looked:
        found = await self._get("iam", f"/v1/projects/-/serviceAccounts/{_part(wanted.id)}")
        if found.get("disabled"):
            return Looked(wanted, "role_disabled", "the account is disabled", "Enable it, or name another.")
        return Looked(wanted)

    async def _may(self, wanted: Wanted, project: str, needed: str) -> Looked:
        path = f"/v1/projects/{_part(project)}:testIamPermissions"
        given = await self._edge("cloudresourcemanager", wanted.kind).call("POST", path, body={"permissions": [needed]})
        return _judge_may(wanted, given.body, needed)

    async def _get(self, host: str, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        return (await self._edge(host, "").call("GET", path, query=query)).body

    def _edge(self, host: str, needs: str) -> Edge:
        return Edge(self._http, HOSTS[host], self._bearer, needs)


def _judge_may(wanted: Wanted, given: Mapping[str, Any], needed: str) -> Looked:
    if needed in (given.get("permissions") or ()):
        return Looked(wanted)
    return Looked(wanted, "not_taggable", "our identity may not label it", f"Grant {needed}.")


def _told(wanted: Wanted, error: PurSightError) -> Looked:
    if error.code == "not_found":
        return _missing(wanted)
    remedy = f"Grant {_NEEDS[wanted.kind]}." if error.code == "access_denied" else error.remedy
    return Looked(wanted, error.code, error.why, remedy, sure=False)


def _missing(wanted: Wanted) -> Looked:
    return Looked(wanted, f"{wanted.kind}_missing", "there is none of this name", f"Correct {wanted.place}, or project and region.")


def _first(*looked: Looked) -> Looked:
    return next((each for each in looked if each.code), looked[-1])


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

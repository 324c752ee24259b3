"""Labels of Google's resources. There is no call for all of them: each service has its own way to merge and to notice a stale look.

Cloud Storage, BigQuery and Cloud SQL take a patch that names single labels and the version that it is based on; Compute and GKE take
the whole map with a fingerprint; Dataproc the whole map alone. An operation that runs is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from services.tagger.gateway.place import Place, Stale
from services.tagger.gateway.rest import Answer, Edge, refused
from shared.errors import Failed

BASES = {
    "storage": "https://storage.googleapis.com",
    "bigquery": "https://bigquery.googleapis.com",
    "sqladmin": "https://sqladmin.googleapis.com",
    "compute": "https://compute.googleapis.com",
    "container": "https://container.googleapis.com",
    "dataproc": "https://dataproc.googleapis.com",
}
NEEDS = {
    "storage": "storage.buckets.get and storage.buckets.update (Storage Admin)",
    "bigquery": "bigquery.datasets.get, bigquery.datasets.update and the same of tables (BigQuery Data Owner)",
    "sqladmin": "cloudsql.instances.get and cloudsql.instances.update (Cloud SQL Editor)",
    "compute": "compute.instances.get, compute.instances.setLabels and the same of what else has labels (Compute Instance Admin)",
    "container": "container.clusters.get and container.clusters.update (Kubernetes Engine Cluster Admin)",
    "dataproc": "dataproc.clusters.get and dataproc.clusters.update (Dataproc Editor)",
}
_PART = r"[\w\-.:%~]+"
_PATHS = {
    "bigquery": re.compile(rf"projects/{_PART}/datasets/{_PART}(/tables/{_PART})?"),
    "sqladmin": re.compile(rf"projects/{_PART}/instances/{_PART}"),
    "compute": re.compile(rf"projects/{_PART}/(global|(zones|regions)/{_PART})/(?!clusters/)[a-zA-Z]+/{_PART}"),
    "container": re.compile(rf"projects/{_PART}/locations/{_PART}/clusters/{_PART}"),
    "dataproc": re.compile(rf"projects/{_PART}/regions/{_PART}/clusters/{_PART}"),
}
_BUCKET = re.compile(r"(?://storage\.googleapis\.com/|gs://)?(?:projects/_/buckets/|b/)?([a-z0-9][a-z0-9._\-]{1,220}[a-z0-9])/?")


def service_of(name: str) -> tuple[str, str]:
    """Service and path of a resource by its full name, its relative one or its address. Raises Failed `not_a_resource_name`.

    >>> service_of("//compute.googleapis.com/projects/shop/zones/europe-west3-a/instances/web")
    ('compute', 'projects/shop/zones/europe-west3-a/instances/web')
    >>> service_of("gs://lake"), service_of("projects/shop/instances/crm")
    (('storage', 'lake'), ('sqladmin', 'projects/shop/instances/crm'))
    """
    path = re.sub(r"^(?:https:)?//[a-z.\-]+\.googleapis\.com/(?:(?:compute|sql|bigquery)/)?(?:v\d\w*/)?", "", name)
    for service, pattern in _PATHS.items():
        if pattern.fullmatch(path):
            return service, path
    if found := _BUCKET.fullmatch(name):
        return "storage", found[1]
    raise Failed(
        "the resource's name is none of a kind that takes labels",
        why="known are buckets, BigQuery datasets and tables, Cloud SQL instances, Compute, GKE and Dataproc",
        remedy="It looks like //storage.googleapis.com/BUCKET or projects/PROJECT/instances/NAME.",
        code="not_a_resource_name",
    )


def place_of(edge: Edge, service: str, path: str) -> Place:
    """The labels of this resource."""
    kinds: dict[str, type[_Labels]] = {
        "storage": _Bucket,
        "bigquery": _BigQuery,
        "sqladmin": _CloudSql,
        "compute": _Compute,
        "container": _Cluster,
        "dataproc": _Dataproc,
    }
    return kinds[service](edge, path)


class _Labels:
    """What all have in common: the document that holds the labels is read, and kept for the change that is based on it."""

    blind = False

    def __init__(self, edge: Edge, path: str) -> None:
        self._edge, self._name = edge, path
        self._document: Mapping[str, Any] = {}
        self._labels: Mapping[str, str] = {}

    @property
    def _path(self) -> str:
        raise NotImplementedError

    def _found(self, document: Mapping[str, Any]) -> Any:
        return document.get("labels")

    async def read(self) -> dict[str, str]:
        self._document = (await self._edge.call("GET", self._path)).body
        found = self._found(self._document)
        self._labels = {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
        return {key: value for key, value in self._labels.items() if not key.startswith("goog")}

    def _patch(self, write: Mapping[str, str], remove: Collection[str]) -> dict[str, str | None]:
        """Single labels; null takes one away."""
        return {**write, **dict.fromkeys(remove)}

    def _whole(self, write: Mapping[str, str], remove: Collection[str]) -> dict[str, str]:
        """All labels as they should be."""
        return {key: value for key, value in (dict(self._labels) | dict(write)).items() if key not in remove}

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        raise NotImplementedError

    async def _operation(self, path: str) -> None:
        """Wait for it. Raises Stale where it failed because something else was going on, else what it failed of."""
        _judge_operation((await self._edge.finished(path, _is_done)).body, self._edge)


class _Bucket(_Labels):
    @property
    def _path(self) -> str:
        return f"/storage/v1/b/{quote(self._name, safe='')}"

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        based_on = {"ifMetagenerationMatch": str(self._document.get("metageneration", ""))}
        await self._edge.call("PATCH", self._path, query=based_on, body={"labels": self._patch(write, remove)})


class _BigQuery(_Labels):
    @property
    def _path(self) -> str:
        return f"/bigquery/v2/{self._name}"

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        based_on = {"If-Match": str(self._document.get("etag", ""))}
        await self._edge.call("PATCH", self._path, headers=based_on, body={"labels": self._patch(write, remove)})


class _CloudSql(_Labels):
    @property
    def _path(self) -> str:
        return f"/v1/{self._name}"

    def _found(self, document: Mapping[str, Any]) -> Any:
        return (document.get("settings") or {}).get("userLabels")

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        version = (self._document.get("settings") or {}).get("settingsVersion")
        settings = {"userLabels": self._patch(write, remove), "settingsVersion": version}
        begun = await self._edge.call("PATCH", self._path, body={"settings": settings})
        project = self._name.rpartition("/instances/")[0]
        await self._operation(f"/v1/{project}/operations/{quote(str(begun.body.get('name')), safe='')}")


class _Compute(_Labels):
    @property
    def _path(self) -> str:
        return f"/compute/v1/{self._name}"

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        body = {"labels": self._whole(write, remove), "labelFingerprint": self._document.get("labelFingerprint", "")}
        begun = await self._edge.call("POST", f"{self._path}/setLabels", body=body)
        home = self._name.rsplit("/", 2)[0]
        await self._operation(f"/compute/v1/{home}/operations/{quote(str(begun.body.get('name')), safe='')}")


class _Cluster(_Labels):
    @property
    def _path(self) -> str:
        return f"/v1/{self._name}"

    def _found(self, document: Mapping[str, Any]) -> Any:
        return document.get("resourceLabels")

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        body = {"resourceLabels": self._whole(write, remove), "labelFingerprint": self._document.get("labelFingerprint", "")}
        begun = await self._edge.call("POST", f"{self._path}:setResourceLabels", body=body)
        home = self._name.rsplit("/", 2)[0]
        await self._operation(f"/v1/{home}/operations/{quote(str(begun.body.get('name')), safe='')}")


class _Dataproc(_Labels):
    blind = True

    @property
    def _path(self) -> str:
        return f"/v1/{self._name}"

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        body = {"labels": self._whole(write, remove)}
        begun = await self._edge.call("PATCH", self._path, query={"updateMask": "labels"}, body=body)
        await self._operation(f"/v1/{quote(str(begun.body.get('name')), safe='/')}")


def _is_done(answer: Answer) -> bool:
    return answer.body.get("status") == "DONE" or answer.body.get("done") is True


def _judge_operation(operation: Mapping[str, Any], edge: Edge) -> None:
    error = operation.get("error")
    if not isinstance(error, dict):
        return
    words = {str(each.get("code")) for each in error.get("errors", ()) if isinstance(each, dict)} | {str(error.get("code"))}
    status = operation.get("httpErrorStatusCode")
    if status in (409, 412) or words & {"CONDITION_NOT_MET", "RESOURCE_NOT_READY", "OPERATION_IN_PROGRESS", "9", "10"}:
        raise Stale
    code = "not_found" if status == 404 or "RESOURCE_NOT_FOUND" in words else "access_denied" if status == 403 else "tags_refused"
    raise refused(code, NEEDS["compute"])

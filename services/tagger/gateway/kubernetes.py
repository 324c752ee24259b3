"""Labels and annotations of namespaces and workloads: merged by a patch that is refused where the object changed since it was read.

Of a workload its own are written, never those of its pods: they would start all of them anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from services.tagger.gateway.rest import Edge
from shared.errors import Failed

NEEDS = "get and patch on namespaces and on deployments, statefulsets, daemonsets, jobs and cronjobs in the cluster"
_NAME = re.compile(r"kubernetes://(?P<cluster>[\w.\-]+)/namespaces/(?P<namespace>[a-z0-9\-]+)(/(?P<kind>[a-z]+)/(?P<name>[a-z0-9.\-]+))?")
_GROUPS = {"deployments": "apps/v1", "statefulsets": "apps/v1", "daemonsets": "apps/v1", "jobs": "batch/v1", "cronjobs": "batch/v1"}
KINDS = ("labels", "annotations")


def object_of(name: str) -> tuple[str, str]:
    """Cluster, and path of the object. Raises Failed `not_an_object`.

    >>> object_of("kubernetes://main/namespaces/orders/deployments/api")
    ('main', '/apis/apps/v1/namespaces/orders/deployments/api')
    """
    found = _NAME.fullmatch(name)
    if found is None or (found["kind"] and found["kind"] not in _GROUPS):
        raise Failed(
            "this is no namespace or workload of Kubernetes", remedy="Correct namespace and workloads of the job.", code="not_an_object"
        )
    if not found["kind"]:
        return found["cluster"], f"/api/v1/namespaces/{found['namespace']}"
    return found["cluster"], f"/apis/{_GROUPS[found['kind']]}/namespaces/{found['namespace']}/{found['kind']}/{found['name']}"


class ObjectTags:
    """One object's, each key behind `labels/` or `annotations/`."""

    blind = False

    def __init__(self, edge: Edge, path: str) -> None:
        self._edge, self._path, self._version = edge, path, ""

    async def read(self) -> dict[str, str]:
        metadata = (await self._edge.call("GET", self._path)).body.get("metadata") or {}
        self._version = str(metadata.get("resourceVersion", ""))
        return {f"{kind}/{key}": str(value) for kind in KINDS for key, value in (metadata.get(kind) or {}).items()}

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        metadata: dict[str, Any] = {"resourceVersion": self._version}
        for name, value in {**write, **dict.fromkeys(remove)}.items():
            kind, _, key = name.partition("/")
            metadata.setdefault(kind, {})[key] = value
        await self._edge.call("PATCH", self._path, body={"metadata": metadata}, headers={"Content-Type": "application/merge-patch+json"})

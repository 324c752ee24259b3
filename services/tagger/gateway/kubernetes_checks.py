"""Looks at the cluster, namespace and workloads that a job names; changes nothing. Whether we may tag, the cluster is asked itself."""

from __future__ import annotations

from types import MappingProxyType
from urllib.parse import quote

from services.tagger.domain.checks import Looked, Wanted
from services.tagger.gateway.kubernetes import object_of
from services.tagger.gateway.looks import Look, Looks, allowed, got
from services.tagger.gateway.rest import Edge

_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubernetesChecks(Looks):
    """The looks at one cluster's API server. `namespace`: where the job's workloads are."""

    needs = MappingProxyType(
        {"cluster": "get on /version", "namespace": "get on namespaces", "workload": "get on it", "role": "get on serviceaccounts"}
    )
    also = "the cluster"
    none = ("it is nothing of Kubernetes' own", "Nothing to do here.")

    def __init__(self, edge: Edge, namespace: str) -> None:
        super().__init__(edge.bearer)
        self._edge, self._namespace = edge, namespace or "default"

    def of(self, kind: str) -> Look | None:
        looks: dict[str, Look] = {"cluster": self._cluster, "namespace": self._object, "workload": self._object, "role": self._account}
        return looks.get(kind)

    async def _cluster(self, wanted: Wanted) -> Looked:
        await got(self._edge, "/version")
        return Looked(wanted)

    async def _account(self, wanted: Wanted) -> Looked:
        await got(self._edge, f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{quote(wanted.id, safe='')}")
        return Looked(wanted)

    async def _object(self, wanted: Wanted) -> Looked:
        home = f"kubernetes://here/namespaces/{self._namespace}"
        _, path = object_of(home if wanted.kind == "namespace" else f"{home}/{wanted.id}")
        found = await got(self._edge, path)
        if (found.get("metadata") or {}).get("deletionTimestamp"):
            return Looked(wanted, f"{wanted.kind}_ended", "it is being deleted", f"Correct {wanted.place}.")
        return allowed(wanted, await self._may_patch(path), f"patch on {path.rsplit('/', 2)[1]}")

    async def _may_patch(self, path: str) -> bool:
        """`path`: `/api/v1/namespaces/NAME` or `/apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME`."""
        *before, resource, name = path.strip("/").split("/")
        group = before[1] if before[0] == "apis" else ""
        attributes = {"verb": "patch", "group": group, "resource": resource, "name": name, "namespace": self._namespace}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
        answer = await self._edge.call("POST", _REVIEW, body=body)
        return (answer.body.get("status") or {}).get("allowed") is True

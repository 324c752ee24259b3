"""Is what a job names in Azure and in a cluster of Kubernetes there, and may we tag it? Asked of doubles of their interfaces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from services.tagger.commands.job import run
from services.tagger.domain.checks import Wanted
from services.tagger.gateway.azure_checks import Around, AzureChecks
from services.tagger.gateway.kubernetes_checks import KubernetesChecks
from services.tagger.gateway.looks import Looks
from services.tagger.gateway.rest import Edge
from shared.cloud import azure
from shared.cloud.token import Token
from shared.contracts.job import AksRuntime
from tests.tagger.test_checks import written as written  # the fixture

GROUP = "/subscriptions/s-1/resourceGroups/data/providers"
RUNTIME: dict[str, Any] = {
    "platform": "aks",
    "region": "westeurope",
    "subscription_id": "s-1",
    "resource_group": "data",
    "network": {"vpc_id": "lake"},
    "storage": {"bucket": "abfss://raw@lake.dfs.core.windows.net/in"},
}
TAGS = {"TenantId": "acme", "ManagedBy": "pursight"}
MAY = {"actions": ["Microsoft.Storage/*/read", "Microsoft.Resources/tags/*"], "notActions": []}


class Azure:
    """What is there, by path; `permissions` are those that we have everywhere, `denied` the paths that we may not read."""

    def __init__(self) -> None:
        here: dict[str, Any] = {"location": "westeurope", "tags": {"team": "x", "TENANTID": "acme"}}
        clusters, networks = f"{GROUP}/Microsoft.ContainerService/managedClusters", f"{GROUP}/Microsoft.Network"
        self.resources: dict[str, dict[str, Any]] = {
            f"{clusters}/main": {**here, "properties": {"provisioningState": "Succeeded", "powerState": {"code": "Running"}}},
            f"{clusters}/off": {**here, "properties": {"provisioningState": "Succeeded", "powerState": {"code": "Stopped"}}},
            f"{clusters}/gone": {**here, "properties": {"provisioningState": "Deleting"}},
            f"{clusters}/full": {**here, "tags": dict.fromkeys(map(str, range(49)), "x")},
            f"{GROUP}/Microsoft.Storage/storageAccounts/lake": {"location": "West Europe"},
            f"{networks}/virtualNetworks/lake": here,
            f"{networks}/virtualNetworks/lake/subnets/a": {},
            f"{networks}/virtualNetworks/other/subnets/b": {},
            f"{networks}/networkSecurityGroups/in": {**here, "location": "northeurope"},
            f"{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/etl": here,
        }
        self.permissions = [MAY]
        self.denied: set[str] = set()

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.headers["Authorization"] != "Bearer token":
            return httpx.Response(401)
        if not request.url.params.get("api-version"):
            return httpx.Response(400, json={"error": {"code": "MissingApiVersionParameter"}})
        if path.rpartition("/")[2] in self.denied:
            return httpx.Response(403, json={"error": {"code": "AuthorizationFailed"}})
        scope, asked, _ = path.partition("/providers/Microsoft.Authorization/permissions")
        if scope not in self.resources:
            return httpx.Response(404, json={"error": {"code": "ResourceNotFound"}})
        return httpx.Response(200, json={"value": self.permissions} if asked else self.resources[scope])


async def looked(answer: Callable[[httpx.Request], httpx.Response], made: Callable[[Edge], Looks], *named: tuple[str, str]) -> list[str]:
    """The code of each look."""

    async def bearer(_: bool) -> str:
        return "token"

    wanted = [Wanted(kind, name, f"runtime.{kind}") for kind, name in named]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        found = await made(Edge(http, "https://there", bearer, "")).look(wanted)
    assert [each.wanted for each in found] == wanted
    assert all(each.why and each.remedy for each in found if each.code)
    return [each.code for each in found]


async def at_azure(azure: Azure, *named: tuple[str, str], **runtime: Any) -> list[str]:
    around = Around(AksRuntime.model_validate({**RUNTIME, **runtime}), TAGS)
    return await looked(azure.answer, lambda edge: AzureChecks(edge, around), *named)


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("cluster", "main", ""),
        ("cluster", f"{GROUP}/Microsoft.ContainerService/managedClusters/main", ""),
        ("cluster", "nobody", "cluster_missing"),
        ("cluster", "off", "cluster_ended"),
        ("cluster", "gone", "cluster_ended"),
        ("cluster", "full", "too_many_tags"),
        ("cluster", "/subscriptions/../x", "not_a_resource_id"),
        ("bucket", "raw@lake.dfs.core.windows.net", ""),
        ("network", "lake", ""),
        ("subnet", "a", ""),
        ("subnet", "nobody", "subnet_missing"),
        ("subnet", f"{GROUP}/Microsoft.Network/virtualNetworks/other/subnets/b", "other_network"),
        ("group", "in", "wrong_region"),
        ("role", "etl", ""),
        ("role", "nobody", "role_missing"),
    ],
)
async def test_each_thing_at_azure_is_there_or_told(kind: str, name: str, code: str) -> None:
    """By name or whole id, in the job's region and network, with room for tags whose names are the same in any case."""
    assert await at_azure(Azure(), (kind, name)) == [code]


@pytest.mark.parametrize(
    ("permissions", "code"),
    [
        ([{"actions": ["*/read"], "notActions": []}], "not_taggable"),
        ([{"actions": ["*"], "notActions": ["Microsoft.Resources/tags/write"]}], "not_taggable"),
        ([{"actions": ["*"], "notActions": ["Microsoft.Resources/*"]}, MAY], ""),
        ([], "not_taggable"),
    ],
)
async def test_what_we_may_at_azure(permissions: list[dict[str, list[str]]], code: str) -> None:
    """Roles add up: what one leaves out another may give."""
    azure = Azure()
    azure.permissions = permissions
    assert await at_azure(azure, ("cluster", "main")) == [code]


async def test_what_azure_does_not_tell_us() -> None:
    """Not readable is not missing; and a job that does not say where is told so."""
    azure = Azure()
    azure.denied = {"lake"}
    assert await at_azure(azure, ("network", "lake"), ("workload", "x")) == ["access_denied", "not_looked_at"]
    assert await at_azure(azure, ("cluster", "main"), ("subnet", "a"), resource_group="") == ["group_missing", "network_missing"]


class Cluster:
    """An API server: what is there, and what we may patch."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {
            "/version": {"major": "1"},
            "/api/v1/namespaces/orders": {"metadata": {"name": "orders"}},
            "/api/v1/namespaces/orders/serviceaccounts/etl": {},
            "/apis/apps/v1/namespaces/orders/deployments/api": {"metadata": {}},
            "/apis/batch/v1/namespaces/orders/jobs/old": {"metadata": {"deletionTimestamp": "2026-11-21T00:00:00Z"}},
        }
        self.may = {("", "namespaces", "orders"), ("apps", "deployments", "api")}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/selfsubjectaccessreviews"):
            asked = json.loads(request.content)["spec"]["resourceAttributes"]
            assert (asked["verb"], asked["namespace"]) == ("patch", "orders")
            return httpx.Response(201, json={"status": {"allowed": (asked["group"], asked["resource"], asked["name"]) in self.may}})
        found = self.resources.get(request.url.path)
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)


async def test_each_thing_in_a_cluster_is_there_or_told() -> None:
    """The namespace, its workloads, the account; what goes away, and what we may not patch."""
    cluster = Cluster()
    named = (("cluster", "main"), ("namespace", "orders"), ("workload", "deployments/api"), ("workload", "jobs/old"), ("role", "etl"))
    names = (*named, ("workload", "deployments/no"), ("role", "nobody"), ("bucket", "lake"))
    found = await looked(cluster.answer, lambda edge: KubernetesChecks(edge, "orders"), *names)
    assert found == ["", "", "", "workload_ended", "", "workload_missing", "role_missing", "not_looked_at"]
    cluster.may.clear()
    found = await looked(cluster.answer, lambda edge: KubernetesChecks(edge, "orders"), *named[1:3])
    assert found == ["not_taggable", "not_taggable"]


@pytest.mark.parametrize("platform", ["aks", "kubernetes"])
def test_validate_asks_the_cloud_and_the_cluster(
    platform: str, written: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each with its own credentials; where one of both is not known, the other is looked at all the same."""
    there, cluster = Azure(), Cluster()

    async def token(*_: Any) -> Token:
        return Token("token", 9e9)

    def answer(request: httpx.Request) -> httpx.Response:
        return (cluster if request.url.host == "cluster" else there).answer(request)

    monkeypatch.setattr(azure, "fetch", token)
    monkeypatch.setattr("services.tagger.gateway.rest.client", lambda *_: httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "TOKEN"):
        monkeypatch.setenv(name, "x")
    job = {**RUNTIME, "compute": {"cluster_id": "main"}, "namespace": "orders", "workloads": ["deployments/no"]}
    if platform == "kubernetes":
        job = {name: value for name, value in job.items() if name not in ("subscription_id", "resource_group")} | {"platform": platform}
    monkeypatch.delenv("PURSIGHT_JOB_CLOUDS", raising=False)
    if platform == "aks":
        run(written(**job), "validate", json_output=True)
        told = json.loads(capsys.readouterr().out)["infrastructure"]
        assert [(each["kind"], each["code"]) for each in told["checks"]] == [("cluster", "ok"), ("bucket", "ok"), ("network", "ok")]
        assert "names no cluster main" in told["skipped"]
    file = tmp_path / "clouds.yaml"
    file.write_text("acme: {kubernetes: {main: {server: 'https://cluster', token_ref: 'env:TOKEN'}}}")
    monkeypatch.setenv("PURSIGHT_JOB_CLOUDS", str(file))
    with pytest.raises(typer.Exit):
        run(written(**job), "validate", json_output=True)
    told = json.loads(capsys.readouterr().out)["infrastructure"]
    inside = [("namespace", "ok"), ("workload", "workload_missing")]
    before = [("cluster", "ok"), ("bucket", "ok"), ("network", "ok")] if platform == "aks" else [("cluster", "ok")]
    assert [(each["kind"], each["code"]) for each in told["checks"]] == [*before, *inside]
    assert told["skipped"] == ("" if platform == "aks" else "the job does not say in which cloud its bucket, network is")

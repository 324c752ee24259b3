"""Labels and annotations at Kubernetes' own API server: its roles, its conflicts, its idea of a label. `make extended` brings it."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, Literal

import httpx
import pytest

from services.tagger.domain.checks import Wanted
from services.tagger.domain.declared import Where
from services.tagger.domain.house import House
from services.tagger.domain.privacy import holds_personal
from services.tagger.domain.resource import JobHere, ResourceState, derive_resource
from services.tagger.domain.targets import Resource
from services.tagger.domain.wish import Wish
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.clouds import Clouds
from services.tagger.gateway.estates import Cluster, Estate, Estates
from services.tagger.gateway.kubernetes import ObjectTags
from services.tagger.gateway.kubernetes_checks import KubernetesChecks
from shared.cloud.aws import AwsSessions
from shared.cloud.tokens import Tokens
from shared.contracts.job import JobConfig
from shared.errors import PurSightError
from shared.local.ports import free_ports
from tests.tagger.test_cluster_sign_in import ESTATE, SCOPES, issued
from tests.tagger.test_worked_example import NOW

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("kubernetes")]
PROGRAM = Path(sys.prefix) / "extended" / "kube-apiserver"
START_SECONDS = 180.0
NAMESPACE, WORKLOAD = "kubernetes://main/namespaces/orders", "kubernetes://main/namespaces/orders/deployments/api"
DEPLOYMENT = {
    "metadata": {"name": "api", "labels": {"app": "api"}},
    "spec": {
        "selector": {"matchLabels": {"app": "api"}},
        "template": {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "api", "image": "api"}]}},
    },
}
ROLE: dict[str, Any] = {
    "metadata": {"name": "tagger"},
    "rules": [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]},
    ],
}
BINDING: dict[str, Any] = {
    "metadata": {"name": "tagger"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tagger"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tagger"}],
}


class _Reviews(BaseHTTPRequestHandler):
    """Whom a token of a cloud stands for, asked by the API server as GKE and AKS have it asked: by a review of the token."""

    whose: ClassVar[Callable[[str], str]] = staticmethod(lambda token: "")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user = self.whose(asked["spec"]["token"])
        status = {"authenticated": True, "user": {"username": user}} if user else {"authenticated": False}
        body = json.dumps({**asked, "status": status}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that leads the API server to them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Reviews) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        cluster = {"name": "reviews", "cluster": {"server": f"http://127.0.0.1:{server.server_port}/"}}
        context = {"name": "reviews", "context": {"cluster": "reviews", "user": "apiserver"}}
        told = {"clusters": [cluster], "contexts": [context], "users": [{"name": "apiserver", "user": {}}], "current-context": "reviews"}
        file = tmp_path_factory.mktemp("reviews") / "reviews.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **told}))
        yield file
        server.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, reviews: Path) -> Iterator[tuple[str, Path]]:
    """Address and certificate authority of an API server with its etcd."""
    assert PROGRAM.exists(), "kube-apiserver is not installed: run `make extended`"
    assert shutil.which("etcd"), "etcd is not installed: run `make extended`"
    home = tmp_path_factory.mktemp("kubernetes")
    client, peer, secure = free_ports(3)
    (home / "tokens.csv").write_text("tok-admin,admin,1,system:masters\ntok-tagger,tagger,2\ntok-nobody,nobody,3\ntok-viewer,viewer,4\n")
    subprocess.run(["openssl", "genrsa", "-out", str(home / "sa.key"), "2048"], check=True, capture_output=True)
    at, between = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    etcd = ["etcd", "--data-dir", str(home / "etcd"), "--listen-client-urls", at, "--advertise-client-urls", at]
    etcd += ["--listen-peer-urls", between, "--initial-advertise-peer-urls", between, "--initial-cluster", f"default={between}"]
    apiserver = [
        str(PROGRAM),
        f"--etcd-servers={at}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={secure}",
        f"--cert-dir={home / 'certs'}",
        f"--service-account-key-file={home / 'sa.key'}",
        f"--service-account-signing-key-file={home / 'sa.key'}",
        "--service-account-issuer=https://localhost",
        f"--token-auth-file={home / 'tokens.csv'}",
        f"--authentication-token-webhook-config-file={reviews}",
        "--authentication-token-webhook-version=v1",
        "--authentication-token-webhook-cache-ttl=0s",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
    ]
    with (home / "log").open("wb") as log:
        started = [subprocess.Popen(command, stdout=log, stderr=log) for command in ([*etcd, "--unsafe-no-fsync"], apiserver)]
        try:
            _wait(f"https://127.0.0.1:{secure}/readyz", started)
            yield f"https://127.0.0.1:{secure}", home / "certs" / "apiserver.crt"
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(START_SECONDS)


def _wait(address: str, started: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in started), "the API server or etcd ended"
        try:
            if httpx.get(address, headers={"Authorization": "Bearer tok-admin"}, verify=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("the API server did not start")


class World:
    """The API server with one namespace and one deployment, and our writers as `whom`."""

    def __init__(self, admin: httpx.Client, clouds: Clouds) -> None:
        self.admin, self.clouds, self.whom = admin, clouds, "tok-tagger"

    def metadata(self, path: str) -> dict[str, Any]:
        answer = self.admin.get(path)
        answer.raise_for_status()
        return dict(answer.json()["metadata"])

    def pods(self) -> dict[str, str]:
        """The labels that the deployment gives its pods: were they others, all would start anew."""
        template = self.admin.get(PATHS[WORKLOAD]).json()["spec"]["template"]
        return dict(template["metadata"]["labels"])

    def wish(self, name: str, job: dict[str, Any], *, ours: dict[str, str] | None = None) -> Wish:
        """What the whole of the tagger's domain makes of this job for this object."""
        here = JobHere("acme/orders", JobConfig.model_validate(job), Where("job"))
        owned = {key: {value} for key, value in (ours or {}).items()}
        state = ResourceState(Resource("acme", "kubernetes", name), "", None, (), (), jobs=(here,), ours=owned)
        return derive_resource(state, now=NOW, trace_id="ab" * 16, cause="test", house=House(holds_personal)).wish


PATHS = {NAMESPACE: "/api/v1/namespaces/orders", WORKLOAD: "/apis/apps/v1/namespaces/orders/deployments/api"}
JOB: dict[str, Any] = {
    "tenant_id": "acme",
    "source_connector": "postgres",
    "target_connector": "iceberg",
    "asset": "orders",
    "finops": {"business_tags": ["sales", "analytics"], "cost_center": "data-engineering"},
    "infrastructure": {"metadata": {"labels": {"tier": "gold"}, "annotations": {"docs": "a free text, with commas"}}},
}


def _prepare(admin: httpx.Client) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    admin.post(f"{rbac}/clusterroles", json=ROLE)
    admin.post(f"{rbac}/clusterrolebindings", json=BINDING)
    viewer = {"kind": "User", "name": "viewer", "apiGroup": "rbac.authorization.k8s.io"}
    reads = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]
    admin.post(f"{rbac}/clusterroles", json={"metadata": {"name": "viewer"}, "rules": reads})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"}
    admin.post(f"{rbac}/clusterrolebindings", json={"metadata": {"name": "viewer"}, "roleRef": role, "subjects": [viewer]})
    admin.post("/api/v1/namespaces", json={"metadata": {"name": "orders", "labels": {"team": "other"}}})
    admin.delete(PATHS[WORKLOAD])
    assert admin.post(PATHS[WORKLOAD].rpartition("/")[0], json=DEPLOYMENT).status_code == 201


@pytest.fixture
async def world(server: tuple[str, Path]) -> AsyncIterator[World]:
    address, authority = server
    trust = ssl.create_default_context(cafile=str(authority))
    with httpx.Client(base_url=address, headers={"Authorization": "Bearer tok-admin"}, verify=trust) as admin:
        _prepare(admin)
        made: dict[str, World] = {}

        async def resolve(reference: str) -> str:
            return made["world"].whom

        cluster = Cluster(server=address, ca_file=str(authority), token_ref="env:TOKEN")
        estates = Estates({"acme": Estate(kubernetes={"main": cluster})})
        clouds = Clouds(AwsTags(AwsSessions(), resolve=resolve), Tokens(resolve), estates, resolve=resolve)
        made["world"] = World(admin, clouds)
        yield made["world"]
        await clouds.close()


@pytest.mark.parametrize("name", [NAMESPACE, WORKLOAD])
async def test_written_unchanged_and_taken_back(world: World, name: str) -> None:
    """Labels where Kubernetes allows the value, annotations where not; a repeat writes nothing; others' stay; pods are not touched."""
    before = world.metadata(PATHS[name])
    first = await world.clouds.apply(world.wish(name, JOB))
    now = world.metadata(PATHS[name])
    assert now["labels"].items() >= {"TenantId": "acme", "CostCenter": "data-engineering", "tier": "gold"}.items()
    assert now["annotations"].items() >= {"BusinessTags": "analytics+sales", "docs": "a free text, with commas"}.items()
    assert now["labels"].items() >= before["labels"].items()
    assert world.pods() == DEPLOYMENT["spec"]["template"]["metadata"]["labels"]  # type: ignore[index]
    again = await world.clouds.apply(world.wish(name, JOB, ours=first.own))
    assert (again.outcome, world.metadata(PATHS[name])["resourceVersion"]) == ("unchanged", now["resourceVersion"])
    gone = Wish(Resource("acme", "kubernetes", name), None, {}, {key: [value] for key, value in first.own.items()}, 1000, marks={})
    await world.clouds.apply(gone)
    left = world.metadata(PATHS[name])
    assert left["labels"] == before["labels"]
    assert left.get("annotations", {}) == before.get("annotations", {})


async def test_somebody_else_is_faster(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object changes between our look and our write: the server refuses, we look again, and both changes are there."""
    change, first = ObjectTags.change, iter([True])

    async def late(self: ObjectTags, *given: Any) -> None:
        if next(first, False):
            patch = {"metadata": {"labels": {"meanwhile": "x"}}}
            world.admin.patch(PATHS[WORKLOAD], json=patch, headers={"Content-Type": "application/merge-patch+json"})
        await change(self, *given)

    monkeypatch.setattr(ObjectTags, "change", late)
    assert (await world.clouds.apply(world.wish(WORKLOAD, JOB))).outcome == "applied"
    assert world.metadata(PATHS[WORKLOAD])["labels"].items() >= {"meanwhile": "x", "TenantId": "acme"}.items()


@pytest.mark.parametrize(
    ("whom", "name", "code"),
    [
        ("tok-nobody", WORKLOAD, "access_denied"),
        ("tok-wrong", WORKLOAD, "credentials_invalid"),
        ("tok-tagger", "kubernetes://main/namespaces/none", "not_found"),
        ("tok-tagger", f"{NAMESPACE}/statefulsets/x", "access_denied"),
    ],
)
async def test_refusals(world: World, whom: str, name: str, code: str) -> None:
    """By the server's own roles and tokens."""
    world.whom = whom
    with pytest.raises(PurSightError) as caught:
        await world.clouds.apply(world.wish(name, JOB))
    assert caught.value.code == code


@pytest.mark.parametrize("sign_in", ["gcp", "azure"])
async def test_signed_in_by_google_and_entra(
    world: World, server: tuple[str, Path], sign_in: Literal["gcp", "azure"], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The identity of the estate gets a token from its cloud, the API server has it reviewed, and its roles hold for whom it is."""
    address, authority = server
    cluster = Cluster(server=address, ca_file=str(authority), sign_in=sign_in)
    estates = Estates({"acme": ESTATE.model_copy(update={"kubernetes": {"main": cluster}})})
    async with issued(sign_in, monkeypatch, tmp_path) as (issuer, resolve):

        async def outcome(user: str) -> str:
            """With a new token, because the server remembers for a while whose a token is."""
            monkeypatch.setattr(_Reviews, "whose", staticmethod(lambda token: user if issuer.scopes.get(token) == SCOPES[sign_in] else ""))
            clouds = Clouds(AwsTags(AwsSessions(), resolve=resolve), Tokens(resolve), estates, resolve=resolve)
            try:
                return (await clouds.apply(world.wish(NAMESPACE, JOB))).outcome
            except PurSightError as error:
                return error.code
            finally:
                await clouds.close()

        assert await outcome("") == "credentials_invalid"
        assert await outcome("nobody") == "access_denied"
        assert await outcome("tagger") in ("applied", "unchanged")
    assert world.metadata(PATHS[NAMESPACE])["labels"]["ManagedBy"] == "pursight"


async def test_looks_at_what_a_job_names(world: World) -> None:
    """There, missing, and ours to tag or not by the server's own roles and its own word."""
    named = (("cluster", "main"), ("namespace", "orders"), ("workload", "deployments/api"), ("workload", "deployments/no"))
    for whom, codes in (
        ("tok-admin", ["", "", "", "workload_missing"]),
        ("tok-tagger", ["", "", "", "workload_missing"]),
        ("tok-nobody", ["", "access_denied", "access_denied", "access_denied"]),
        ("tok-wrong", ["credentials_invalid"] * 4),
    ):
        world.whom = whom
        looks = KubernetesChecks(world.clouds.cluster("acme", "main"), "orders")
        assert [each.code for each in await looks.look([Wanted(kind, name, "x") for kind, name in named])] == codes
    world.whom = "tok-viewer"
    looks = KubernetesChecks(world.clouds.cluster("acme", "main"), "orders")
    assert [each.code for each in await looks.look([Wanted("namespace", "orders", "x")])] == ["not_taggable"]

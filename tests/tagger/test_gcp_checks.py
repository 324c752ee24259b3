"""Is what a job names in Google Cloud there, and may we label it? Asked of a double of its interfaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.tagger.domain.checks import Wanted
from services.tagger.gateway.gcp_checks import Around, GcpChecks
from shared.errors import Failed

REGION, PROJECT = "europe-west3", "shop-prod"
COMPUTE = f"/compute/v1/projects/{PROJECT}"
MAIL = f"etl@{PROJECT}.iam.gserviceaccount.com"
LABELS = {"tenant_id": "acme", "managed_by": "pursight"}


class Google:
    """What is there, by path; `may` are the permissions that we have, `denied` the paths that we may not read."""

    def __init__(self) -> None:
        clusters = [
            {"name": "etl", "location": f"{REGION}-a", "status": "RUNNING", "network": "lake", "resourceLabels": {"team": "x"}},
            {"name": "far", "location": "us-east1", "status": "RUNNING", "network": "lake"},
            {"name": "gone", "location": REGION, "status": "STOPPING", "network": "lake"},
            {
                "name": "full",
                "location": REGION,
                "status": "RUNNING",
                "network": "lake",
                "resourceLabels": dict.fromkeys(map(str, range(63))),
            },
            {"name": "other", "location": REGION, "status": "RUNNING", "network": "default"},
        ]
        self.resources: dict[str, dict[str, Any]] = {
            f"/v1/projects/{PROJECT}/locations/-/clusters": {"clusters": clusters},
            f"/v1/projects/{PROJECT}/regions/{REGION}/clusters/spark": {"status": {"state": "RUNNING"}, "labels": {}},
            f"/v1/projects/{PROJECT}/regions/{REGION}/clusters/broken": {"status": {"state": "ERROR"}},
            "/storage/v1/b/lake": {"location": "EUROPE-WEST3"},
            "/storage/v1/b/wide": {"location": "EU"},
            "/storage/v1/b/far": {"location": "US-EAST1"},
            f"{COMPUTE}/global/networks/lake": {"name": "lake"},
            "/compute/v1/projects/host/global/networks/lake": {"name": "lake"},
            f"{COMPUTE}/regions/{REGION}/subnetworks/a": {
                "network": "https://www.googleapis.com/compute/v1/projects/host/global/networks/lake"
            },
            f"/v1/projects/-/serviceAccounts/{MAIL}": {"email": MAIL},
            "/v1/projects/-/serviceAccounts/old@x.iam.gserviceaccount.com": {"disabled": True},
        }
        self.may = {"container.clusters.update", "dataproc.clusters.update", "storage.buckets.update"}
        self.denied: set[str] = set()
        self.slow = 0
        self.token = "token"

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return httpx.Response(401)
        if self.slow:
            self.slow -= 1
            return httpx.Response(429)
        if path in self.denied:
            return httpx.Response(403, json={"error": {"status": "PERMISSION_DENIED", "errors": [{"reason": "forbidden"}]}})
        if path.endswith(":testIamPermissions"):
            return self._tested(json.loads(request.content)["permissions"])
        if path.endswith("/iam/testPermissions"):
            return self._tested([request.url.params["permissions"]])
        return httpx.Response(200, json=self.resources[path]) if path in self.resources else httpx.Response(404)

    def _tested(self, asked: list[str]) -> httpx.Response:
        return httpx.Response(200, json={"permissions": [each for each in asked if each in self.may]})


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    monkeypatch.setattr("services.tagger.gateway.rest.waits", lambda: iter([0.0] * 3))
    return Google()


async def look(google: Google, *named: tuple[str, str], platform: str = "gke", network: str = "lake") -> list[str]:
    """The code of each look."""

    async def bearer(_: bool) -> str:
        return "token"

    wanted = [Wanted(kind, name, f"runtime.{kind}") for kind, name in named]
    async with httpx.AsyncClient(transport=httpx.MockTransport(google.answer)) as http:
        found = await GcpChecks(http, bearer, Around(platform, PROJECT, REGION, network, LABELS)).look(wanted)
    assert [each.wanted for each in found] == wanted
    assert all(each.why and each.remedy for each in found if each.code)
    return [each.code for each in found]


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("cluster", "etl", ""),
        ("cluster", f"projects/{PROJECT}/locations/{REGION}-a/clusters/etl", ""),
        ("cluster", "nobody", "cluster_missing"),
        ("cluster", "far", "wrong_region"),
        ("cluster", "gone", "cluster_ended"),
        ("cluster", "full", "too_many_tags"),
        ("cluster", "other", "other_network"),
        ("bucket", "lake", ""),
        ("bucket", "wide", ""),
        ("bucket", "far", "wrong_region"),
        ("bucket", "nobody", "bucket_missing"),
        ("network", "lake", ""),
        ("network", "projects/host/global/networks/lake", ""),
        ("network", "nobody", "network_missing"),
        ("subnet", "a", ""),
        ("subnet", "nobody", "subnet_missing"),
        ("role", MAIL, ""),
        ("role", "old@x.iam.gserviceaccount.com", "role_disabled"),
        ("role", "nobody@x", "role_missing"),
        ("group", "sg-1", "not_looked_at"),
    ],
)
async def test_each_thing_is_there_or_told(google: Google, kind: str, name: str, code: str) -> None:
    """By kind, in the job's region and network, with room for labels."""
    assert await look(google, (kind, name)) == [code]


async def test_a_cluster_of_dataproc(google: Google) -> None:
    """Another interface."""
    found = await look(google, ("cluster", "spark"), ("cluster", "broken"), ("cluster", "nobody"), platform="dataproc")
    assert found == ["", "cluster_ended", "cluster_missing"]


async def test_what_we_may_not(google: Google) -> None:
    """Looking and labelling are permissions of their own."""
    google.may.clear()
    google.denied = {f"{COMPUTE}/global/networks/lake"}
    found = await look(google, ("cluster", "etl"), ("bucket", "lake"), ("network", "lake"))
    assert found == ["not_taggable", "not_taggable", "access_denied"]


async def test_throttled_a_little_and_for_long(google: Google) -> None:
    """Waited for, then told; nothing is taken for missing."""
    google.slow = 1
    assert await look(google, ("bucket", "lake")) == [""]
    google.slow = 99
    assert await look(google, ("bucket", "lake")) == ["throttled"]
    google.slow, google.token = 0, "another"
    assert await look(google, ("bucket", "lake")) == ["credentials_invalid"]


async def test_nobody_could_sign_in() -> None:
    """One error for all."""

    async def bearer(_: bool) -> str:
        raise Failed("no token", code="identity_missing")

    async with httpx.AsyncClient() as http:
        with pytest.raises(Failed):
            await GcpChecks(http, bearer, Around("gke", PROJECT, REGION, "", LABELS)).look([Wanted("bucket", "lake", "x")])

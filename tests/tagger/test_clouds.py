"""One suite for every way of writing labels and tags but AWS's: at doubles of Google, Azure and Kubernetes, errors too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from services.tagger.domain.resource import UNCOUNTED
from services.tagger.domain.targets import Provider, Resource
from services.tagger.domain.wish import Wish
from services.tagger.gateway import gcp
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.clouds import Clouds
from services.tagger.gateway.estates import Cluster, Estate, Estates
from shared.cloud.aws import AwsSessions
from shared.contracts.cloud import AzureConfig, GcpConfig
from shared.errors import Failed, PurSightError, Transient
from tests.tagger.cloud_doubles import Azure, Bearers, Double, Google, Kept, Kubernetes, double_of

PROJECT = "projects/shop-prod"
SERVER = "/subscriptions/s-1/resourceGroups/data/providers/Microsoft.DBforPostgreSQL/flexibleServers/crm"


@dataclass(frozen=True)
class Kind:
    """One kind of resource: its name with us, and in the double."""

    provider: Provider
    name: str
    there: str
    ours: tuple[str, str, str] = ("managed_by", "tenant_id", "cost_center")
    needs: str = ""


KINDS = {
    "bucket": Kind("gcp", "//storage.googleapis.com/lake", "lake", needs="storage.buckets.update"),
    "dataset": Kind("gcp", f"//bigquery.googleapis.com/{PROJECT}/datasets/d", f"{PROJECT}/datasets/d", needs="bigquery.datasets.update"),
    "database": Kind("gcp", f"{PROJECT}/instances/crm", f"{PROJECT}/instances/crm", needs="cloudsql.instances.update"),
    "machine": Kind("gcp", f"{PROJECT}/zones/z/instances/web", f"{PROJECT}/zones/z/instances/web", needs="compute.instances.setLabels"),
    "cluster": Kind(
        "gcp", f"{PROJECT}/locations/l/clusters/main", f"{PROJECT}/locations/l/clusters/main", needs="container.clusters.update"
    ),
    "dataproc": Kind("gcp", f"{PROJECT}/regions/r/clusters/etl", f"{PROJECT}/regions/r/clusters/etl", needs="dataproc.clusters.update"),
    "scope": Kind("azure", SERVER, SERVER[1:], ("ManagedBy", "TenantId", "CostCenter"), "Tag Contributor"),
    "namespace": Kind(
        "kubernetes",
        "kubernetes://main/namespaces/orders",
        "api/v1/namespaces/orders",
        ("labels/ManagedBy", "labels/TenantId", "annotations/CostCenter"),
        "patch on namespaces",
    ),
    "workload": Kind(
        "kubernetes",
        "kubernetes://main/namespaces/orders/deployments/api",
        "apis/apps/v1/namespaces/orders/deployments/api",
        ("labels/ManagedBy", "labels/TenantId", "annotations/CostCenter"),
        "deployments",
    ),
}
THEIRS = {"gcp": "team", "azure": "Team", "kubernetes": "labels/team"}


@dataclass
class World:
    """One resource at a double, and our writers."""

    kind: Kind
    double: Double
    clouds: Clouds
    bearers: Bearers

    @property
    def kept(self) -> Kept:
        return self.double.resources[self.kind.there]

    @property
    def tags(self) -> dict[str, str]:
        return dict(zip(self.kind.ours, ("pursight", "acme", "data-engineering"), strict=True))

    def wish(self, tags: Mapping[str, str] | None = None, *, ours: Mapping[str, str] | None = None, name: str = "") -> Wish:
        clouds = {"gcp": GcpConfig(provider="gcp"), "azure": AzureConfig(provider="azure")}
        owned = {key: [value] for key, value in (ours or {}).items()}
        marks = {key: self.tags[key] for key in self.kind.ours[:2]}
        resource = Resource("acme", self.kind.provider, name or self.kind.name)
        wanted = self.tags if tags is None else tags
        return Wish(resource, clouds.get(self.kind.provider), wanted, owned, UNCOUNTED, marks=marks)  # type: ignore[arg-type]


async def _token(reference: str) -> str:
    return "token-1\n"


@pytest.fixture
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    kind = KINDS[request.param]
    monkeypatch.setattr("services.tagger.gateway.place.FIRST_WAIT", 0.001)
    monkeypatch.setattr("services.tagger.gateway.place.SETTLE_SECONDS", 0.001)
    monkeypatch.setattr("services.tagger.gateway.rest.OPERATION_WAITS", (0.0,) * 4)
    doubles: dict[str, Any] = {"gcp": Google, "azure": Azure, "kubernetes": Kubernetes}
    async with double_of(doubles[kind.provider]) as double:
        double.resources[kind.there] = Kept()
        bearers: Any = Bearers()
        cluster = Cluster(server=double.address, token_ref="env:TOKEN")
        estates = Estates({"acme": Estate(kubernetes={"main": cluster})})
        bases = dict.fromkeys((*gcp.BASES, "azure"), double.address)
        clouds = Clouds(AwsTags(AwsSessions(), resolve=_token), bearers, estates, resolve=_token, bases=bases)
        yield World(kind, double, clouds, bearers)
        await clouds.close()


every = pytest.mark.parametrize("world", KINDS, indirect=True)
one_of_each = pytest.mark.parametrize("world", ["bucket", "scope", "namespace"], indirect=True)


@every
async def test_applied_then_unchanged(world: World) -> None:
    """Written and read back, operations waited for; a repeat writes nothing, and a dry run neither."""
    assert (await world.clouds.compare(world.wish())).write == world.tags
    assert world.double.writes == []
    first = await world.clouds.apply(world.wish())
    assert (first.outcome, world.kept.tags) == ("applied", world.tags)
    many = len(world.double.writes)
    assert (await world.clouds.apply(world.wish(ours=first.own))).outcome == "unchanged"
    assert len(world.double.writes) == many


@every
async def test_tags_of_others_stay(world: World) -> None:
    """Neither written nor removed, whatever becomes of ours."""
    theirs = {THEIRS[world.kind.provider]: "other"}
    world.kept.tags = dict(theirs)
    first = await world.clouds.apply(world.wish())
    assert world.kept.tags == theirs | world.tags
    await world.clouds.apply(world.wish({}, ours=first.own))
    assert world.kept.tags == theirs


@every
async def test_a_stale_look_loses_nothing(world: World) -> None:
    """Somebody changes the resource between our look and our write: both changes are there in the end."""
    name = THEIRS[world.kind.provider]
    world.double.before_write = [lambda kept: kept.tags.__setitem__(name, "meanwhile")]
    assert (await world.clouds.apply(world.wish())).outcome == "applied"
    if world.kind.name.endswith("/clusters/etl"):  # Dataproc takes the whole map without a version: the one place where it can be lost
        return
    assert world.kept.tags == world.tags | {name: "meanwhile"}


@one_of_each
async def test_throttled_then_through(world: World) -> None:
    """Being asked to slow down is waited for, in either of Google's ways to say it."""
    slowly = {"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}
    world.double.first = [(429, {}), (403, slowly) if world.kind.provider == "gcp" else (429, {}), (429, {})]
    assert (await world.clouds.apply(world.wish())).outcome == "applied"


async def failure_of(world: World, wish: Wish | None = None) -> PurSightError:
    with pytest.raises(PurSightError) as caught:
        await world.clouds.apply(wish or world.wish())
    assert caught.value.remedy
    assert "anna" not in f"{caught.value.what} {caught.value.why} {caught.value.remedy}"
    return caught.value


@every
async def test_a_missing_permission_is_named(world: World) -> None:
    """Refused: which one, and not the provider's words."""
    world.double.denied = True
    error = await failure_of(world)
    assert (error.code, type(error)) == ("access_denied", Failed)
    assert world.kind.needs in error.remedy


@every
async def test_a_resource_that_vanished(world: World) -> None:
    """Said, not tried for ever."""
    del world.double.resources[world.kind.there]
    error = await failure_of(world)
    assert (error.code, type(error)) == ("not_found", Failed)


@one_of_each
async def test_a_provider_that_is_away(world: World) -> None:
    """An answer of its own trouble is worth another try, later."""
    world.double.first = [(503, {})]
    error = await failure_of(world)
    assert (error.code, type(error)) == ("unreachable", Transient)


@pytest.mark.parametrize("world", ["bucket", "scope"], indirect=True)
async def test_a_token_that_ends_half_way(world: World) -> None:
    """Read with one token, written with the next; one that is refused again is told."""
    await world.clouds.compare(world.wish())
    world.double.accepted = 2
    assert (await world.clouds.apply(world.wish())).outcome == "applied"
    world.double.accepted = 9
    assert (await failure_of(world)).code == "credentials_invalid"
    assert world.bearers.owners == {"tags of acme"}


@pytest.mark.parametrize("world", ["machine"], indirect=True)
async def test_an_operation_that_runs_long(world: World) -> None:
    """It is looked at again with the next try, which finds the labels there."""
    original = Double.operation

    def slow(name: str) -> Any:
        answer = original(world.double, name)
        world.double.running[name] = 99
        return answer

    world.double.operation = slow  # type: ignore[method-assign]
    error = await failure_of(world)
    assert (error.code, type(error)) == ("operation_runs", Transient)
    assert (await world.clouds.apply(world.wish(ours=world.tags))).outcome == "unchanged"


@pytest.mark.parametrize("world", ["bucket"], indirect=True)
async def test_what_the_provider_refuses(world: World) -> None:
    """Labels against its rules: a code, no second try."""
    error = await failure_of(world, world.wish({"UPPER": "x"}))
    assert (error.code, type(error)) == ("tags_refused", Failed)


@pytest.mark.parametrize("world", ["scope"], indirect=True)
async def test_azures_names_are_the_same_in_any_case(world: World) -> None:
    """Ours in another case is ours: its value is changed, no second one appears, and it goes when it is not wanted."""
    world.kept.tags = {"managedby": "pursight", "TENANTID": "acme", "costcenter": "old", "team": "other"}
    done = await world.clouds.apply(world.wish())
    assert world.kept.tags == {"managedby": "pursight", "TENANTID": "acme", "costcenter": "data-engineering", "team": "other"}
    await world.clouds.apply(world.wish({}, ours=done.own))
    assert world.kept.tags == {"team": "other"}


@pytest.mark.parametrize("world", ["namespace"], indirect=True)
async def test_a_cluster_that_nobody_named(world: World) -> None:
    """A job may name any cluster; only those of the operator's file are called."""
    error = await failure_of(world, world.wish(name="kubernetes://elsewhere/namespaces/orders"))
    assert error.code == "no_cloud"


@pytest.mark.parametrize("world", ["bucket"], indirect=True)
async def test_names_that_are_none(world: World) -> None:
    """What is no resource of the provider is refused before anything is called."""
    for name in ("//storage.googleapis.com/../x", "projects/p/zones/z/instances/a?x=1", "http://evil/b"):
        assert (await failure_of(world, world.wish(name=name))).code == "not_a_resource_name"
    bad = replace(world.wish(name="/subscriptions/a/../b"), cloud=AzureConfig(provider="azure"))
    assert (await failure_of(world, replace(bad, resource=Resource("acme", "azure", bad.resource.id)))).code == "not_a_resource_id"

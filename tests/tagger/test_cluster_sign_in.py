"""How we sign in to the clusters of GKE and AKS: Google's or Entra's token server is asked, and the cluster takes what is made for it.

Both are doubles that check what they are sent; `make extended` has the same at Kubernetes' own API server (test_kubernetes.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.tagger.domain.targets import Resource
from services.tagger.domain.wish import Wish
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.clouds import AKS_SCOPE, Clouds
from services.tagger.gateway.estates import Cluster, Estate, Estates
from shared.cloud.aws import AwsSessions, Resolve
from shared.cloud.gcp import CLOUD_SCOPE
from shared.cloud.tokens import Tokens
from shared.contracts.cloud import AzureConfig, GcpConfig
from shared.errors import PurSightError
from tests.shared.cloud.doubles import CLIENT, SECRET, TENANT, Entra, Google, redirect
from tests.tagger.cloud_doubles import Double, Kept, Kubernetes, double_of

NAMESPACE, THERE = "kubernetes://main/namespaces/orders", "api/v1/namespaces/orders"
TAGS = {"labels/ManagedBy": "pursight", "annotations/BusinessTags": "sales+analytics"}
ESTATE = Estate(
    gcp=GcpConfig(provider="gcp", service_account_ref="env:K"),
    azure=AzureConfig(provider="azure", tenant_id=TENANT, client_id=CLIENT, client_secret_ref="env:S"),
)


@dataclass
class World:
    """A cluster, the token server that it trusts, and our writers."""

    cluster: Double
    issuer: Entra | Google
    clouds: Clouds
    secrets: dict[str, str]
    revoked: set[str] = field(default_factory=set)

    @property
    def asked(self) -> int:
        """How often a token was asked for."""
        return sum(request.endswith("/token") for request in self.issuer.requests)


SCOPES = {"gcp": CLOUD_SCOPE, "azure": AKS_SCOPE}


@asynccontextmanager
async def issued(sign_in: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[tuple[Entra | Google, Resolve]]:
    """The token server of this cloud, and what resolves the references of `ESTATE`."""
    async with AsyncExitStack() as up:
        issuer: Entra | Google
        if sign_in == "azure":
            issuer = await up.enter_async_context(Entra().up(folder))
            monkeypatch.setenv("AZURE_AUTHORITY_HOST", issuer.address)
            monkeypatch.setenv("SSL_CERT_FILE", str(folder / "entra.pem"))
        else:
            issuer = await up.enter_async_context(Google().up())
            redirect(monkeypatch, issuer)
        secrets = {"env:S": SECRET, "env:K": issuer.key() if isinstance(issuer, Google) else ""}

        async def resolve(reference: str) -> str:
            return secrets[reference]

        yield issuer, resolve


@pytest.fixture(params=["gcp", "azure"])
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    sign_in = request.param
    async with issued(sign_in, monkeypatch, tmp_path) as (issuer, ours), double_of(Kubernetes) as cluster:
        secrets: dict[str, str] = {}

        async def resolve(reference: str) -> str:
            return secrets.get(reference) or await ours(reference)

        cluster.resources[THERE] = Kept()
        estates = {"acme": ESTATE.model_copy(update={"kubernetes": {"main": Cluster(server=cluster.address, sign_in=sign_in)}})}
        clouds = Clouds(AwsTags(AwsSessions(), resolve=resolve), Tokens(resolve), Estates(estates), resolve=resolve)
        world = World(cluster, issuer, clouds, secrets)
        cluster.knows = lambda token: issuer.scopes.get(token) == SCOPES[sign_in] and token not in world.revoked
        yield world
        await clouds.close()


def wish(*ours: str) -> Wish:
    return Wish(Resource("acme", "kubernetes", NAMESPACE), None, TAGS, {key: [TAGS[key]] for key in ours}, 64)


async def failure_of(world: World) -> PurSightError:
    with pytest.raises(PurSightError) as caught:
        await world.clouds.apply(wish())
    assert caught.value.remedy
    return caught.value


async def test_the_estates_identity_signs_in_to_its_cluster(world: World) -> None:
    """One token for the clusters' own audience serves all calls; one that is refused is fetched anew, once."""
    assert (await world.clouds.apply(wish())).outcome == "applied"
    assert world.cluster.resources[THERE].tags == TAGS
    assert world.asked == 1
    world.revoked.update(world.issuer.given)
    assert (await world.clouds.apply(wish(*TAGS))).outcome == "unchanged"
    assert world.asked == 2


async def test_a_cluster_that_does_not_know_us(world: World) -> None:
    """A token that is in order and still nobody's there, and one whose owner may not: each told, nothing written."""
    world.cluster.knows = lambda token: False
    assert (await failure_of(world)).code == "credentials_invalid"
    assert world.asked == 2
    world.cluster.knows, world.cluster.denied = lambda token: True, True
    error = await failure_of(world)
    assert error.code == "access_denied"
    assert "patch on namespaces" in error.remedy
    assert world.cluster.resources[THERE].tags == {}


async def test_a_token_server_that_refuses_us(world: World) -> None:
    """Its word reaches the result as our code, never as its text, and the cluster is not asked."""
    world.secrets.update({"env:S": "canary-of-another", "env:K": Google().key()})
    error = await failure_of(world)
    assert error.code == "identity_refused"
    assert "canary" not in f"{error.what}{error.why}{error.remedy}"
    assert world.cluster.resources[THERE].tags == {}


async def test_a_cluster_whose_cloud_nobody_named(world: World) -> None:
    """`sign_in` names a cloud of the same estate."""
    clusters = world.clouds._estates.of("acme").kubernetes
    world.clouds._estates = Estates({"acme": Estate(kubernetes=clusters)})
    assert ((await failure_of(world)).code, world.asked) == ("no_cloud", 0)

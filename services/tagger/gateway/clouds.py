"""The writers of tags, one for each kind of provider, and as whom they sign in: as the source says, or for jobs as the operator says."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

import httpx

from services.tagger.domain.diff import Diff
from services.tagger.domain.wish import Applied, Wish
from services.tagger.gateway import azure, gcp, kubernetes, rest
from services.tagger.gateway.aws import AwsTags
from services.tagger.gateway.estates import Cluster, Estate, Estates
from services.tagger.gateway.place import Place, bring
from shared.cloud.aws import Resolve
from shared.cloud.gcp import CLOUD_SCOPE
from shared.cloud.posture import resource_manager
from shared.cloud.tokens import OURSELVES, Tokens
from shared.contracts.cloud import AzureConfig, GcpConfig
from shared.contracts.judging.allowed import ANY, Allowed, cloud_secrets
from shared.egress import EgressPolicy, guarded
from shared.errors import Failed

AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"  # the same in every directory


class Clouds:
    """All writers. With a `policy`, which needs the guarded loop, every connection obeys it. `bases`: Google's and Azure's addresses."""

    def __init__(
        self,
        aws: AwsTags,
        tokens: Tokens,
        estates: Estates,
        *,
        resolve: Resolve,
        policy: EgressPolicy | None = None,
        allowed: Allowed = ANY,
        bases: Mapping[str, str] | None = None,
    ) -> None:
        self._aws, self._tokens, self._estates, self._resolve = aws, tokens, estates, resolve
        self._policy, self._allowed = policy, allowed
        self._bases = bases or {**gcp.BASES, "azure": resource_manager()}
        self._http: dict[str, httpx.AsyncClient] = {}

    async def compare(self, wish: Wish) -> Diff:
        """What `apply` would change; writes nothing. Raises as `apply` does."""
        wish = self._signed(wish)
        if wish.resource.provider == "aws":
            return await self._aws.compare(wish)
        async with self._place(wish) as place:
            return wish.diff(await place.read())

    async def apply(self, wish: Wish) -> Applied:
        """Bring the resource to the wish. Doing it again changes nothing.

        Raises Failed with a code and a remedy, `no_cloud` where nobody says as whom; Transient where waiting may help.
        """
        wish = self._signed(wish)
        if wish.resource.provider == "aws":
            return await self._aws.apply(wish)
        async with self._place(wish) as place:
            return await bring(place, wish)

    async def close(self) -> None:
        """End all connections."""
        await self._aws.close()
        for http in self._http.values():
            await http.aclose()

    def _signed(self, wish: Wish) -> Wish:
        """The wish with who writes it."""
        resource = wish.resource
        if wish.cloud is not None:
            return wish
        estate: Estate = self._estates.of(resource.tenant)
        if not estate.permits(resource.id):
            raise Failed(
                "jobs of this tenant may not have this resource tagged",
                why="the operator's file of clouds does not list it",
                remedy="Correct the job, or ask the operator to add it to `only`.",
                code="resource_not_allowed",
            )
        if resource.provider == "kubernetes":
            return wish
        cloud = {"aws": estate.aws, "gcp": estate.gcp, "azure": estate.azure}[resource.provider]
        if cloud is None:
            raise _no_cloud(resource.provider, resource.tenant)
        return replace(wish, cloud=cloud, operators=True)

    @asynccontextmanager
    async def _place(self, wish: Wish) -> AsyncIterator[Place]:
        operators = wish.operators or wish.resource.provider == "kubernetes"
        policy = replace(self._policy, own_identity=True) if self._policy and operators else self._policy
        with guarded(policy) if policy else nullcontext():
            yield await self._found(wish)

    async def _found(self, wish: Wish) -> Place:
        name = wish.resource.id
        if wish.resource.provider == "kubernetes":
            return await self._object(wish)
        if isinstance(wish.cloud, AzureConfig):
            bearer = self._bearer(wish, wish.cloud, f"{resource_manager()}/.default")
            edge = rest.Edge(self._client("azure"), self._bases["azure"], bearer, azure.NEEDS)
            return azure.ScopeTags(edge, azure.scope_of(name), (*wish.desired, *wish.ours))
        assert isinstance(wish.cloud, GcpConfig), "AWS has a writer of its own"
        service, path = gcp.service_of(name)
        bearer = self._bearer(wish, wish.cloud, CLOUD_SCOPE)
        return gcp.place_of(rest.Edge(self._client(service), self._bases[service], bearer, gcp.NEEDS[service]), service, path)

    async def _object(self, wish: Wish) -> Place:
        name, path = kubernetes.object_of(wish.resource.id)
        return kubernetes.ObjectTags(self.cluster(wish.resource.tenant, name), path)

    def cluster(self, tenant: str, name: str) -> rest.Edge:
        """The API server of a cluster, as the operator's file says. Raises Failed `no_cloud` where it does not."""
        estate = self._estates.of(tenant)
        cluster = estate.kubernetes.get(name)
        if cluster is None:
            raise _no_cloud(f"the cluster {name}", tenant)
        http = self._client(f"{cluster.server} {cluster.ca_file}", cluster.ca_file)
        return rest.Edge(http, cluster.server, self._cluster_bearer(tenant, estate, cluster), kubernetes.NEEDS)

    def _cluster_bearer(self, tenant: str, estate: Estate, cluster: Cluster) -> rest.Bearer:
        theirs = estate.gcp if cluster.sign_in == "gcp" else estate.azure
        if cluster.sign_in == "token":

            async def token(again: bool) -> str:
                return (await self._resolve(cluster.token_ref)).strip()

            return token
        if theirs is None:
            raise _no_cloud(cluster.sign_in, tenant)
        return self._token_of(theirs, CLOUD_SCOPE if cluster.sign_in == "gcp" else AKS_SCOPE, OURSELVES)

    def _bearer(self, wish: Wish, cloud: AzureConfig | GcpConfig, scope: str) -> rest.Bearer:
        if wish.operators:
            return self._token_of(cloud, scope, OURSELVES)
        tenant = wish.resource.tenant
        for field, text in cloud_secrets(cloud):
            if not self._allowed.permits(tenant, text):
                raise Failed(f"{field} names a secret that this tenant may not use", remedy="Ask the operator.", code="secret_not_allowed")
        return self._token_of(cloud, scope, f"tags of {tenant}")

    def _token_of(self, cloud: AzureConfig | GcpConfig, scope: str, owner: str) -> rest.Bearer:
        async def token(again: bool) -> str:
            return (await self._tokens.bearer(cloud, scope, owner=owner, again=again)).value

        return token

    def _client(self, name: str, ca_file: str = "") -> httpx.AsyncClient:
        """One for each address, so that no connection and no certificate is trusted for another's sake."""
        if name not in self._http:
            self._http[name] = rest.client(_trust(ca_file) if ca_file else True)
        return self._http[name]


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise Failed("the cluster's ca_file cannot be read", remedy="Correct it in PURSIGHT_JOB_CLOUDS.", code="ca_unreadable") from None


def _no_cloud(what: str, tenant: str) -> Failed:
    return Failed(
        "nobody says as whom these tags are written",
        why=f"the operator's file of clouds has no {what} for tenant {tenant}",
        remedy="Add it to the file that PURSIGHT_JOB_CLOUDS names; README, 'Writing tags', has an example.",
        code="no_cloud",
    )

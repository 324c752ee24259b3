"""Tags of AWS resources: each service by its own API, the rest by the bulk API. Clients are kept: making one costs more than a call."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from services.tagger.domain.diff import Diff
from services.tagger.domain.targets import Arn
from services.tagger.domain.wish import Applied, Wish
from services.tagger.gateway.bulk import BulkTags
from services.tagger.gateway.place import bring
from services.tagger.gateway.services import SERVICES, TagService
from shared.cloud.aws import AwsSessions, AwsSignIn, Resolve
from shared.cloud.failures import diagnose, no_token
from shared.contracts.judging.allowed import ANY, Allowed, cloud_secrets
from shared.contracts.source import AwsConfig
from shared.egress import WHO_AM_I, EgressPolicy, guarded
from shared.errors import Failed, PurSightError

KEPT_CLIENTS = 64
ENDED = frozenset({"credentials_expired", "credentials_invalid"})


class AwsTags:
    """The writer of tags in AWS. `endpoints` are the addresses that a source may ask for instead of AWS's own; with a `policy`, which
    needs the guarded loop, every connection obeys it."""

    def __init__(
        self,
        sessions: AwsSessions,
        *,
        resolve: Resolve,
        endpoints: frozenset[str] = frozenset(),
        policy: EgressPolicy | None = None,
        allowed: Allowed = ANY,
    ) -> None:
        self._resolve, self._endpoints, self._policy, self._allowed = resolve, endpoints, policy, allowed
        self._clients, self._bulk = _Clients(sessions), BulkTags()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def compare(self, wish: Wish) -> Diff:
        """What `apply` would change; writes nothing. Raises as `apply` does."""
        async with self._opened(wish) as (service, client, arn):
            return wish.diff(await _Tags(service, client, arn).read())

    async def apply(self, wish: Wish) -> Applied:
        """Bring the resource to the wish. Doing it again changes nothing.

        Raises Failed with a code and a remedy (see shared/cloud/failures, besides `not_an_arn`, `endpoint_not_allowed`,
        `wrong_region`), Transient where waiting may help (`throttled`, `unreachable`, `contended`, `read_back_differs`).
        """
        async with self._turn(wish.resource.id), self._opened(wish) as (service, client, arn):
            return await bring(_Tags(service, client, arn), wish)

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """One at a time for each resource, because two tenants may share a bucket, whose tags may have to be replaced as a whole."""
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            yield

    async def close(self) -> None:
        """End all connections."""
        await self._clients.close()

    @asynccontextmanager
    async def _opened(self, wish: Wish) -> AsyncIterator[tuple[TagService, Any, Arn]]:
        arn = _arn_of(wish)
        service: TagService = SERVICES.get(arn.service, self._bulk)
        sign_in = await self._sign_in(wish)
        region = arn.region or sign_in.region
        try:
            with guarded(_with_identity(self._policy, sign_in, wish.operators)) if self._policy else nullcontext():
                async with AsyncExitStack() as open_:
                    clients = [await open_.enter_async_context(self._clients.client(sign_in, api, region)) for api in service.apis]
                    yield service, clients if len(clients) > 1 else clients[0], arn
        except PurSightError as error:
            if error.code == "egress_denied" and not sign_in.access_key_id and not _aws(wish).endpoint_url:
                raise no_token("own_identity_denied") from None
            raise _told(error, f"{service.reads}, {service.writes}") from None

    async def _sign_in(self, wish: Wish) -> AwsSignIn:
        cloud = _aws(wish)
        if cloud.endpoint_url and not wish.operators and cloud.endpoint_url not in self._endpoints:
            raise Failed(
                "the source names an address that is not AWS's own",
                why="the operator did not allow it",
                remedy="Add it to PURSIGHT_AWS_ENDPOINTS, or remove endpoint_url.",
                code="endpoint_not_allowed",
            )
        for field, text in () if wish.operators else cloud_secrets(cloud):
            if not self._allowed.permits(wish.resource.tenant, text):
                raise Failed(f"{field} names a secret that this tenant may not use", remedy="Ask the operator.", code="secret_not_allowed")
        return replace(await AwsSignIn.of(cloud, self._resolve), endpoint_url=cloud.endpoint_url, ours=wish.operators)


class _Tags:
    """One resource's tags by its service; what AWS itself put there does not count."""

    def __init__(self, service: TagService, client: Any, arn: Arn) -> None:
        self._service, self._client, self._arn = service, client, arn
        self._current: Mapping[str, str] = {}
        self.blind = False

    async def read(self) -> dict[str, str]:
        self._current = await self._service.read(self._client, self._arn)
        return {key: value for key, value in self._current.items() if not key.lower().startswith("aws:")}

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        self.blind = bool(await self._service.change(self._client, self._arn, self._current, write, remove))


Key = tuple[AwsSignIn, str, str]


@dataclass(slots=True)
class _Kept:
    opened: AbstractAsyncContextManager[Any]
    client: Any
    users: int = 0


class _Clients:
    """Open clients by identity, API and region; the least used goes first, but none that is at work."""

    def __init__(self, sessions: AwsSessions) -> None:
        self._sessions, self._kept = sessions, OrderedDict[Key, _Kept]()

    @asynccontextmanager
    async def client(self, sign_in: AwsSignIn, api: str, region: str) -> AsyncIterator[Any]:
        """What goes wrong inside is raised as our own error, see `AwsSessions.client`."""
        key = (sign_in, api, region)
        kept = self._kept.get(key) or await self._open(key)
        self._kept.move_to_end(key)
        kept.users += 1
        try:
            yield kept.client
        except Exception as error:
            told = diagnose(error)
            if isinstance(told, PurSightError) and told.code in ENDED:  # the next use signs in anew
                self._sessions.forget(sign_in)
                self._kept.pop(key, None)
            raise told from None
        finally:
            kept.users -= 1
            if kept.users == 0 and self._kept.get(key) is not kept:
                await kept.opened.__aexit__(None, None, None)

    async def _open(self, key: Key) -> _Kept:
        sign_in, api, region = key
        opened = self._sessions.client(sign_in, api, region=region)
        made = _Kept(opened, await opened.__aenter__())
        kept = self._kept.setdefault(key, made)
        if kept is not made:  # somebody else was faster
            await opened.__aexit__(None, None, None)
        idle = [each for each, held in self._kept.items() if held.users == 0 and each != key]
        for each in idle[: max(0, len(self._kept) - KEPT_CLIENTS)]:
            await self._kept.pop(each).opened.__aexit__(None, None, None)
        return kept

    async def close(self) -> None:
        while self._kept:
            await self._kept.popitem()[1].opened.__aexit__(None, None, None)


def _with_identity(policy: EgressPolicy, sign_in: AwsSignIn, operators: bool = False) -> EgressPolicy:
    """Who signs in as this machine asks it who it is, where the operator allowed that. A tenant cannot point there: endpoints are the
    operator's list."""
    may = policy.own_identity or operators
    return policy if sign_in.access_key_id or not may else replace(policy, identity=WHO_AM_I)


def _arn_of(wish: Wish) -> Arn:
    arn = Arn.parse(wish.resource.id)
    if arn is None:
        raise Failed(
            "resource_arn of the source is not an ARN", remedy="It looks like arn:aws:rds:REGION:ACCOUNT:db:NAME.", code="not_an_arn"
        )
    cloud = _aws(wish)
    if arn.region and cloud.region and arn.region != cloud.region and not wish.operators:
        raise Failed(
            "the source names two regions",
            why=f"resource_arn says {arn.region}, region says {cloud.region}",
            remedy="Correct one of them.",
            code="wrong_region",
        )
    return arn


def _told(error: PurSightError, needs: str) -> PurSightError:
    """The same error, saying what was tried and, where a permission is missing, which."""
    if error.what != "AWS refused":
        return error
    remedy = f"Grant {needs}, or give the source a role_arn that has it." if error.code == "access_denied" else error.remedy
    return type(error)("the tags could not be read or written", why=error.why, remedy=remedy, code=error.code)


def _aws(wish: Wish) -> AwsConfig:
    assert isinstance(wish.cloud, AwsConfig), "the caller chooses by provider"
    return wish.cloud

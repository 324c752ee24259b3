"""A token for this source and this endpoint, now: the one door to the three clouds' sign-in.

A database's token is fetched, or for RDS signed, for each new physical connection and kept nowhere. What signs single requests, to a
store or an API, is kept in memory only, only for the source that it was made for, and only while its provider says that it lives; it is
renewed before that.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from shared.cloud import azure, gcp
from shared.cloud.aws import DATABASE_TOKEN_SECONDS, AwsSessions, AwsSignIn, Resolve
from shared.cloud.failures import no_token
from shared.cloud.token import Token
from shared.contracts.choices import IDENTITIES
from shared.contracts.cloud import AwsConfig, AzureConfig, CloudConfig, GcpConfig
from shared.contracts.engines import STORES
from shared.egress import as_this_machine, surroundings_lent
from shared.errors import PurSightError
from shared.observe.names import counter, histogram

BY_TOKEN = ("aws_iam", "azure_token", "gcp_iam", "gcp_token")  # the ways to sign in of a connection plan that need one
FETCH_SECONDS = 20.0  # the libraries' own retries are within
RENEW_SECONDS = 120.0  # before the end; a quarter of the life where that is shorter
KEPT_TOKENS = 1024
OURSELVES = "secret store"  # the owner of tokens that serve no source; no source's key is that


class Endpoint(NamedTuple):
    """What is dialled, and as whom. `source` is the key of the source that asks: tokens are never shared between two."""

    source: str
    engine: str
    host: str
    port: int
    username: str


@dataclass(slots=True)
class _Kept:
    token: Token | None = None
    since: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def alive(self, now: float) -> bool:
        if self.token is None or now < self.since:  # a clock that was set back proves nothing
            return False
        life = self.token.expires_at - self.since
        return now < self.token.expires_at - min(RENEW_SECONDS, life / 4)


class Tokens:
    """Sign-in to the clouds for one process. `resolve` turns a secret's reference into its value. Used within one event loop."""

    def __init__(self, resolve: Resolve, *, clock: Callable[[], float] = time.time) -> None:
        self._resolve, self._clock, self._aws = resolve, clock, AwsSessions()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def database(self, cloud: CloudConfig, endpoint: Endpoint, *, again: bool = False) -> Token:
        """What signs in to the database or store at this endpoint; `account` is the database user, where the cloud decides on it. For S3
        it is the key's id, and the value its secret, with a session's token behind a line end.

        `again`: the last one was refused, so nothing that is kept is trusted. Raises Failed with a code of `failures`,
        Transient where waiting helps.
        """
        if isinstance(cloud, AwsConfig):
            return await (self._keys(cloud, again) if endpoint.engine == "s3" else self._signed(cloud, endpoint, again))
        store = endpoint.engine in STORES
        if isinstance(cloud, AzureConfig):
            scope = azure.STORE_SCOPE if store else azure.DATABASE_SCOPE
        else:
            scope = gcp.STORE_SCOPE if store else gcp.LOGIN_SCOPE
        if store:
            return await self.bearer(cloud, scope, owner=endpoint.source, again=again)
        _check_owner(cloud, endpoint.source)
        token = await self._fetched(cloud, lambda: self._ask(cloud, scope))
        _used(cloud, 0.0)
        return _as_user(token, endpoint) if isinstance(cloud, GcpConfig) else token

    async def bearer(self, cloud: AzureConfig | GcpConfig, scope: str, *, owner: str, again: bool = False) -> Token:
        """A token for the requests of an API or a store. `owner`: on whose behalf; tokens are not shared between owners.

        Raises as `database` does; Failed `own_identity_denied` where a source names no credential and may not borrow the process's.
        """
        _check_owner(cloud, owner)
        kept = self._place((owner, cloud, scope))
        async with kept.lock:
            if again or not kept.alive(self._clock()):
                kept.since = self._clock()
                kept.token = await self._fetched(cloud, lambda: self._ask(cloud, scope))
            token = kept.token
        assert token is not None
        _used(cloud, self._clock() - kept.since)
        return token

    async def _ask(self, cloud: AzureConfig | GcpConfig, scope: str) -> Token:
        if isinstance(cloud, AzureConfig):
            secret = await self._resolve(cloud.client_secret_ref) if cloud.client_secret_ref else ""
            return await azure.fetch(cloud, scope, secret=secret)
        key = await self._resolve(cloud.service_account_ref) if cloud.service_account_ref else ""
        return await gcp.fetch(cloud, scope, key=key)

    async def _signed(self, cloud: AwsConfig, endpoint: Endpoint, again: bool) -> Token:
        async def sign() -> Token:
            sign_in = await AwsSignIn.of(cloud, self._resolve)
            if again:
                self._aws.forget(sign_in)
            value = await self._aws.database_token(sign_in, host=endpoint.host, port=endpoint.port, username=endpoint.username)
            return Token(value, self._clock() + DATABASE_TOKEN_SECONDS)

        token = await self._fetched(cloud, sign)
        _used(cloud, 0.0)
        return token

    async def _keys(self, cloud: AwsConfig, again: bool) -> Token:
        async def ask() -> Token:
            sign_in = await AwsSignIn.of(cloud, self._resolve)
            if again:
                self._aws.forget(sign_in)
            return await self._aws.keys(sign_in)

        token = await self._fetched(cloud, ask)
        _used(cloud, 0.0)
        return token

    async def _fetched(self, cloud: CloudConfig, fetch: Callable[[], Awaitable[Token]]) -> Token:
        outcome = "ok"
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                with as_this_machine():
                    return await fetch()
        except TimeoutError:
            outcome = "token_server_unreachable"
            raise no_token(outcome) from None
        except PurSightError as error:
            outcome = error.code
            raise _for_token(error) from None
        finally:
            counter("pursight_token_fetches", cloud.provider, identity_of(cloud), outcome).inc()

    def _place(self, key: Hashable) -> _Kept:
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_TOKENS:
            self._kept.popitem(last=False)
        return kept


def _check_owner(cloud: AzureConfig | GcpConfig, owner: str) -> None:
    if not (owner == OURSELVES or _brings_its_own(cloud) or surroundings_lent()):
        raise no_token("own_identity_denied")


def _brings_its_own(cloud: AzureConfig | GcpConfig) -> bool:
    """Does the source name what it signs in with? All else is of the process: its variables, its files, its machine."""
    if isinstance(cloud, AzureConfig):
        return bool(
            cloud.federated_token_file if cloud.use_workload_identity else cloud.client_secret_ref and not cloud.use_managed_identity
        )
    return bool(cloud.service_account_ref)


def identity_of(cloud: CloudConfig) -> str:
    """As whom, in the words of `choices.IDENTITIES`; `surroundings` where nothing is said."""
    return next(row.word for row in IDENTITIES if row.provider == cloud.provider and row.holds(cloud)) or "surroundings"


def _as_user(token: Token, endpoint: Endpoint) -> Token:
    account = endpoint.username or token.account
    if not account:
        raise no_token("account_unknown")
    return replace(token, account=gcp.database_user(endpoint.engine, account))


def _for_token(error: PurSightError) -> PurSightError:
    """AWS's "away" and "slow down" mean its token server here, not the database."""
    ours = {
        "unreachable": "token_server_unreachable",
        "throttled": "token_server_throttled",
        "egress_denied": "own_identity_denied",
    }.get(error.code)
    return no_token(ours) if ours else error


def _used(cloud: CloudConfig, age_seconds: float) -> None:
    histogram("pursight_token_age_seconds", cloud.provider, identity_of(cloud)).observe(age_seconds)

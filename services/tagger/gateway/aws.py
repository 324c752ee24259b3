"""Tags of AWS resources: read, compare, write only our own keys and only what differs, read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

from services.tagger.domain.diff import Diff, diff
from services.tagger.domain.targets import Arn
from services.tagger.domain.wish import Applied, Wish
from services.tagger.gateway.services import BULK_SERVICE, SERVICES, TagService, waits
from shared.cloud.aws import AwsSessions, AwsSignIn, Resolve
from shared.cloud.failures import no_token
from shared.contracts.judging.allowed import ANY, Allowed, cloud_secrets
from shared.contracts.source import AwsConfig
from shared.egress import WHO_AM_I, EgressPolicy, guarded
from shared.errors import Failed, PurSightError, Transient


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
        self._sessions, self._resolve, self._endpoints, self._policy, self._allowed = sessions, resolve, endpoints, policy, allowed

    async def compare(self, wish: Wish) -> Diff:
        """What `apply` would change; writes nothing. Raises as `apply` does."""
        async with self._opened(wish) as (service, client, arn):
            return _diff(await service.read(client, arn), wish)

    async def apply(self, wish: Wish) -> Applied:
        """Bring the resource to the wish. Doing it again changes nothing.

        Raises Failed with a code and a remedy (see shared/cloud/failures, besides `not_an_arn`, `endpoint_not_allowed`,
        `wrong_region`), Transient where waiting may help (`throttled`, `unreachable`, `read_back_differs`).
        """
        async with self._opened(wish) as (service, client, arn):
            change = _diff(await service.read(client, arn), wish)
            if not change.empty:
                await self._write(service, client, arn, change)
        return Applied("unchanged" if change.empty else "applied", change, _own(wish, change))

    async def _write(self, service: TagService, client: Any, arn: Arn, change: Diff) -> None:
        try:
            await service.change(client, arn, change.write, change.remove)
        except PurSightError as error:
            raise _told(error, "written", service.writes) from None
        for wait in waits():
            now = await service.read(client, arn)
            if change.write.items() <= now.items() and not set(change.remove) & now.keys():
                return
            await asyncio.sleep(wait)
        raise Transient(
            "the resource does not show the tags that were written",
            why="it may not exist, or the provider is slow to show them",
            remedy="Check resource_arn of the source; it is tried again.",
            code="read_back_differs",
        )

    @asynccontextmanager
    async def _opened(self, wish: Wish) -> AsyncIterator[tuple[TagService, Any, Arn]]:
        arn = _arn_of(wish)
        service = SERVICES.get(arn.service, BULK_SERVICE)
        sign_in = await self._sign_in(wish)
        try:
            with guarded(_with_identity(self._policy, sign_in)) if self._policy else nullcontext():
                async with self._sessions.client(sign_in, service.api, region=arn.region) as client:
                    yield service, client, arn
        except PurSightError as error:
            if error.code == "egress_denied" and not sign_in.access_key_id and not _aws(wish).endpoint_url:
                raise no_token("own_identity_denied") from None
            raise _told(error, "read or written", f"{service.reads}, {service.writes}") from None

    async def _sign_in(self, wish: Wish) -> AwsSignIn:
        cloud = _aws(wish)
        if cloud.endpoint_url and cloud.endpoint_url not in self._endpoints:
            raise Failed(
                "the source names an address that is not AWS's own",
                why="the operator did not allow it",
                remedy="Add it to PURSIGHT_AWS_ENDPOINTS, or remove endpoint_url.",
                code="endpoint_not_allowed",
            )
        for field, text in cloud_secrets(cloud):
            if not self._allowed.permits(wish.resource.tenant, text):
                raise Failed(f"{field} names a secret that this tenant may not use", remedy="Ask the operator.", code="secret_not_allowed")
        return replace(await AwsSignIn.of(cloud, self._resolve), endpoint_url=cloud.endpoint_url)


def _with_identity(policy: EgressPolicy, sign_in: AwsSignIn) -> EgressPolicy:
    """Who signs in as this machine asks it who it is, where the operator allowed that. A tenant cannot point there: endpoints are the
    operator's list."""
    return policy if sign_in.access_key_id or not policy.own_identity else replace(policy, identity=WHO_AM_I)


def _diff(current: Mapping[str, str], wish: Wish) -> Diff:
    theirs_left_out = {key: value for key, value in current.items() if not key.lower().startswith("aws:")}  # AWS's own do not count
    return diff(theirs_left_out, wish.desired, ours=wish.ours, most=wish.most)


def _own(wish: Wish, change: Diff) -> dict[str, str]:
    absent = {*change.conflicts, *change.left_out}
    return {key: value for key, value in wish.desired.items() if key not in absent}


def _arn_of(wish: Wish) -> Arn:
    arn = Arn.parse(wish.resource.id)
    if arn is None:
        raise Failed(
            "resource_arn of the source is not an ARN", remedy="It looks like arn:aws:rds:REGION:ACCOUNT:db:NAME.", code="not_an_arn"
        )
    cloud = _aws(wish)
    if arn.region and cloud.region and arn.region != cloud.region:
        raise Failed(
            "the source names two regions",
            why=f"resource_arn says {arn.region}, region says {cloud.region}",
            remedy="Correct one of them.",
            code="wrong_region",
        )
    return arn


def _told(error: PurSightError, tried: str, needs: str) -> PurSightError:
    """The same error, saying what was tried and, where a permission is missing, which."""
    if error.what != "AWS refused":
        return error
    remedy = f"Grant {needs}, or give the source a role_arn that has it." if error.code == "access_denied" else error.remedy
    return type(error)(f"the tags could not be {tried}", why=error.why, remedy=remedy, code=error.code)


def _aws(wish: Wish) -> AwsConfig:
    assert isinstance(wish.cloud, AwsConfig), "the caller chooses by provider"
    return wish.cloud

"""The tagger dials where it may, and the loop says so before a socket connects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from services.tagger.app import service
from services.tagger.domain.targets import Resource
from services.tagger.domain.wish import Wish
from services.tagger.gateway.aws import AwsTags, _with_identity
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.contracts.judging.allowed import SAFE, Allowed
from shared.contracts.source import AwsConfig
from shared.egress import WHO_AM_I, EgressPolicy, GuardedLoop, refusal
from shared.errors import Failed
from tests.tagger.moto_server import REGION, make

T = TypeVar("T")
ELSEWHERE, HERE = EgressPolicy("hybrid"), EgressPolicy("hybrid", local=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        return runner.run(work)


async def write(moto: str, policy: EgressPolicy) -> str:
    """Tag a database at moto, which is on loopback."""

    async def secret(reference: str) -> str:
        return "testing"

    arn = await make(moto, "database")
    tags = AwsTags(AwsSessions(), resolve=secret, endpoints=frozenset({moto}), policy=policy)
    cloud = AwsConfig(provider="aws", region=REGION, access_key_id="testing", secret_access_key_ref="env:SECRET", endpoint_url=moto)
    return (await tags.apply(Wish(Resource("acme", "aws", arn), cloud, {"ManagedBy": "pursight"}, {}, 50))).outcome


def test_an_endpoint_that_may_be_dialled(moto: str) -> None:
    """A provider's emulator on this machine is for the local stack."""
    assert run(write(moto, HERE)) == "applied"


def test_an_endpoint_that_may_not(moto: str) -> None:
    """Although the operator's list names it: what is refused is said as such, once, and never tried again."""
    with pytest.raises(Failed) as caught:
        run(write(moto, ELSEWHERE))
    assert caught.value.code == "egress_denied"


def test_the_machines_own_identity_is_asked_only_without_a_key_and_where_the_operator_allows_it() -> None:
    """The metadata address stays closed otherwise, and on every other port."""
    allowed = EgressPolicy("hybrid", own_identity=True)
    for address, port in WHO_AM_I:
        assert not refusal(address, port, _with_identity(allowed, AwsSignIn(profile="data")))
        assert refusal(address, port, _with_identity(ELSEWHERE, AwsSignIn(profile="data")))
        assert refusal(address, port, _with_identity(allowed, AwsSignIn(access_key_id="x")))
        assert refusal(address, 443, _with_identity(allowed, AwsSignIn()))


def test_a_tenants_source_does_not_sign_in_as_this_machine(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the operator says so: the library's way to the metadata address is cut, and that is said."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")

    async def work() -> str:
        tags = AwsTags(AwsSessions(), resolve=nothing, policy=ELSEWHERE)
        arn = f"arn:aws:rds:{REGION}:123456789012:db:shop"
        await tags.apply(Wish(Resource("acme", "aws", arn), AwsConfig(provider="aws", region=REGION), {"ManagedBy": "pursight"}, {}, 50))
        return "applied"

    with pytest.raises(Failed) as caught:
        run(work())
    assert caught.value.code == "own_identity_denied"


def test_a_secret_of_another_tenant_is_not_used() -> None:
    """Also where the source was registered before the operator's list was."""

    async def work() -> None:
        cloud = AwsConfig(provider="aws", region=REGION, access_key_id="x", secret_access_key_ref="local:other.crm")
        arn = f"arn:aws:rds:{REGION}:123456789012:db:shop"
        tags = AwsTags(AwsSessions(), resolve=nothing, allowed=Allowed(SAFE))
        await tags.apply(Wish(Resource("acme", "aws", arn), cloud, {"ManagedBy": "pursight"}, {}, 50))

    with pytest.raises(Failed) as caught:
        run(work())
    assert caught.value.code == "secret_not_allowed"


async def nothing(reference: str) -> str:
    raise AssertionError(reference)


def test_the_service_runs_on_the_guarded_loop() -> None:
    assert service.loop_factory is GuardedLoop

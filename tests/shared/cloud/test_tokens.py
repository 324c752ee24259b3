"""Tokens of Entra and Google: every identity, each refusal in our words, and a clock moved past a token's life."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.cloud.azure import DATABASE_SCOPE
from shared.cloud.gcp import LOGIN_SCOPE
from shared.cloud.tokens import Endpoint, Tokens
from shared.contracts.cloud import AwsConfig, AzureConfig, CloudConfig, GcpConfig
from shared.errors import Failed, PurSightError, Transient
from tests.shared.cloud.doubles import CLIENT, OTHER_ACCOUNT, SECRET, TENANT, AzureMetadata, Entra, Google, redirect

ENDPOINT = Endpoint("default/crm", "postgresql", "db.example", 5432, "scan")
PRINCIPAL = AzureConfig(provider="azure", tenant_id=TENANT, client_id=CLIENT, client_secret_ref="env:S")
MACHINE = AzureConfig(provider="azure", use_managed_identity=True)
KEYED = GcpConfig(provider="gcp", service_account_ref="env:K", use_iam_auth=True)
NEARBY = GcpConfig(provider="gcp", use_workload_identity=True, use_iam_auth=True)


@dataclass
class World:
    """The doubles, a clock that can be moved, and secrets that can be changed."""

    entra: Entra
    machine: AzureMetadata
    google: Google
    now: float = field(default_factory=time.time)
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.secrets |= {"env:S": SECRET, "env:K": self.google.key()}
        self.tokens = self.fresh()

    def fresh(self) -> Tokens:
        async def resolve(reference: str) -> str:
            return self.secrets[reference]

        return Tokens(resolve, clock=lambda: self.now)

    async def value(self, cloud: CloudConfig, **more: Any) -> str:
        return (await self.tokens.database(cloud, ENDPOINT, **more)).value

    async def refusal(self, cloud: CloudConfig) -> PurSightError:
        with pytest.raises(PurSightError) as caught:
            await self.fresh().database(cloud, ENDPOINT)
        return caught.value


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    async with Entra().up(tmp_path) as entra, AzureMetadata().up() as machine, Google().up() as google:
        for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "MSI_ENDPOINT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", entra.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "entra.pem"))
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.address)
        monkeypatch.setenv("GCE_METADATA_HOST", google.address.removeprefix("http://"))
        monkeypatch.setenv("GCE_METADATA_IP", google.address.removeprefix("http://"))
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nothing"))
        redirect(monkeypatch, google)
        yield World(entra, machine, google)


async def test_a_service_principal(world: World) -> None:
    """Its secret, by reference, brings a token for the databases of Azure."""
    assert await world.value(PRINCIPAL) == "token-canary-entra-1"


@pytest.mark.parametrize(("client", "whose"), [("", "system"), (CLIENT, "user")])
async def test_a_managed_identity(world: World, client: str, whose: str) -> None:
    """System assigned without a client id, user assigned with it."""
    cloud = AzureConfig(provider="azure", use_managed_identity=True, client_id=client)
    assert await world.value(cloud) == f"token-canary-{whose}-1"


async def test_a_workload_identity(world: World, tmp_path: Path) -> None:
    """The federated token's file is read each time, because the platform replaces it."""
    file = tmp_path / "federated"
    cloud = AzureConfig(provider="azure", tenant_id=TENANT, client_id=CLIENT, use_workload_identity=True, federated_token_file=str(file))
    assert (await world.refusal(cloud)).code == "token_file_unreadable"
    file.write_text(world.entra.assertion)
    assert await world.value(cloud) == "token-canary-entra-1"
    world.entra.assertion = "federated-canary-next"
    assert (await world.refusal(cloud)).code == "federation_refused"
    file.write_text(world.entra.assertion)
    assert await world.value(cloud, again=True) == "token-canary-entra-2"


async def test_the_surroundings_of_azure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word in cloud_config the process is what its environment says: a principal, else the machine."""
    silent = AzureConfig(provider="azure")
    assert await world.value(silent) == "token-canary-system-1"
    for name, value in {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}.items():
        monkeypatch.setenv(name, value)
    assert await world.value(silent, again=True) == "token-canary-entra-1"


async def test_a_service_accounts_key(world: World) -> None:
    """A signed assertion brings a token, and the database user follows from the account."""
    token = await world.tokens.database(KEYED, ENDPOINT._replace(username=""))
    assert (token.value, token.account) == ("token-canary-key-1", "scan@shop.iam")


async def test_a_key_does_not_choose_its_token_address(world: World) -> None:
    """Whatever token_uri and universe_domain say, the assertion goes to Google."""
    world.secrets["env:K"] = world.google.key(token_uri="http://169.254.169.254/steal", universe_domain="evil.example")
    assert await world.value(KEYED) == "token-canary-key-1"
    assert world.google.requests == ["POST /token"]


async def test_the_metadata_server(world: World) -> None:
    """GKE, Cloud Run and machines: the account's mail comes from there too."""
    token = await world.tokens.database(NEARBY, ENDPOINT._replace(username="", engine="mysql"))
    assert (token.value, token.account) == ("token-canary-metadata-1", "scan")


async def test_impersonation(world: World) -> None:
    """The key's account acts as another one, who must have allowed it."""
    cloud = KEYED.model_copy(update={"impersonate_service_account": OTHER_ACCOUNT})
    token = await world.tokens.database(cloud, ENDPOINT._replace(username=""))
    assert (token.value, token.account) == ("token-canary-impersonated-2", "reader@shop.iam")
    world.google.may_impersonate = False
    assert (await world.refusal(cloud)).code == "identity_denied"
    assert (await world.refusal(cloud.model_copy(update={"impersonate_service_account": "a/../b@c"}))).code == "identity_refused"


async def test_application_default_credentials(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The operator's own file: federation works, an address that is not Google's does not; without a file, the machine's account."""
    silent = GcpConfig(provider="gcp", use_iam_auth=True)
    assert await world.value(silent) == "token-canary-metadata-1"
    (tmp_path / "subject").write_text(world.google.subject)
    federated = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    (tmp_path / "adc.json").write_text(json.dumps(federated))
    assert await world.value(silent, again=True) == "token-canary-federated-2"
    (tmp_path / "adc.json").write_text(json.dumps(federated | {"token_url": "https://sts.evil.example/v1/token"}))
    asked = world.google.given.copy()
    assert (await world.refusal(silent)).code == "token_address_refused"
    assert world.google.given == asked


@pytest.mark.parametrize("kind", ["external_account", "authorized_user", "gdch_service_account", "impersonated_service_account"])
async def test_only_a_service_accounts_key_is_taken_from_a_secret(world: World, kind: str) -> None:
    """Other kinds of JSON name addresses, files and programs: none of them is asked."""
    world.secrets["env:K"] = world.google.key(type=kind)
    assert (await world.refusal(KEYED)).code == "key_not_usable"
    assert world.google.requests == []


@pytest.mark.parametrize("life", [300, 3600])
@pytest.mark.parametrize(("cloud", "double"), [(PRINCIPAL, "entra"), (MACHINE, "machine"), (KEYED, "google"), (NEARBY, "google")])
async def test_a_token_is_kept_while_it_lives_and_no_longer(world: World, cloud: CloudConfig, double: str, life: int) -> None:
    """One token for many requests to an API or a store; a new one before the old one ends, and after; also for five minutes of life."""
    server = getattr(world, double)
    server.life_seconds = life

    async def value() -> str:
        return (
            await world.tokens.bearer(cloud, DATABASE_SCOPE if isinstance(cloud, AzureConfig) else LOGIN_SCOPE, owner="default/crm")
        ).value

    first = await value()
    world.now += life * 0.5
    assert await value() == first
    world.now += life * 0.5 - 30  # 30 s before its end: too late to sign with
    second = await value()
    assert second != first
    world.now += life * 5
    assert await value() not in (first, second)
    world.now -= life * 30
    assert len(server.given) == 3
    await value()
    assert len(server.given) == 4, "a clock that was set back proves nothing"


async def test_each_connection_has_a_token_of_its_own(world: World) -> None:
    """Three lines to a database bring three, and none is kept; ten requests to a store that begin at once bring one."""
    import asyncio

    values = await asyncio.gather(*(world.value(PRINCIPAL) for _ in range(3)))
    assert len(set(values)) == 3
    assert not world.tokens._kept
    store = ENDPOINT._replace(engine="azure_blob", username="")
    tokens = await asyncio.gather(*(world.tokens.database(PRINCIPAL, store) for _ in range(10)))
    assert {token.value for token in tokens} == {"token-canary-entra-4"}


async def test_a_token_belongs_to_one_source(world: World) -> None:
    """Another source that names the same principal without its secret gets nothing of ours."""
    await world.value(PRINCIPAL)
    world.secrets["env:S"] = "guessed"
    with pytest.raises(Failed) as caught:
        await world.tokens.database(PRINCIPAL, ENDPOINT._replace(source="other/crm"))
    assert caught.value.code == "identity_refused"


@pytest.mark.parametrize("first", [[429], [503], [500, 429]])
@pytest.mark.parametrize(("cloud", "double"), [(PRINCIPAL, "entra"), (MACHINE, "machine"), (KEYED, "google")])
async def test_a_busy_server_is_asked_again(world: World, cloud: CloudConfig, double: str, first: list[int]) -> None:
    """Throttling and a hiccup are waited out."""
    server = getattr(world, double)
    server.first = list(first)
    assert await world.value(cloud) == server.given[0]
    assert len(server.requests) > len(first)


@pytest.mark.parametrize(
    ("cloud", "double", "status", "code"),
    [
        (PRINCIPAL, "entra", 429, "token_server_throttled"),
        (PRINCIPAL, "entra", 503, "token_server_unreachable"),
        (MACHINE, "machine", 429, "token_server_throttled"),
        (KEYED, "google", 503, "token_server_unreachable"),
    ],
)
async def test_a_server_that_stays_busy(
    world: World, cloud: CloudConfig, double: str, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after a few tries, and waiting may help."""
    monkeypatch.setattr("shared.cloud.azure.BACKOFF_SECONDS", 0.05)
    getattr(world, double).first = [status] * 50
    error = await world.refusal(cloud)
    assert (error.code, type(error)) == (code, Transient)
    assert len(getattr(world, double).requests) < 10


async def test_a_slow_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr("shared.cloud.tokens.FETCH_SECONDS", 0.3)
    world.entra.slow_seconds = 1.0
    started = time.monotonic()
    error = await world.refusal(PRINCIPAL)
    assert (error.code, type(error)) == ("token_server_unreachable", Transient)
    assert time.monotonic() - started < 0.9


@pytest.mark.parametrize("cloud", [MACHINE, NEARBY])
async def test_no_metadata_server(world: World, monkeypatch: pytest.MonkeyPatch, cloud: CloudConfig) -> None:
    """A machine without one is told so, not that the database is away."""
    monkeypatch.setattr("shared.cloud.azure.RETRIES", 0)
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    error = await world.refusal(cloud)
    assert (error.code, type(error)) == ("metadata_unreachable", Failed)


async def test_a_token_server_that_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody listens is worth waiting for."""
    monkeypatch.setattr("shared.cloud.azure.RETRIES", 0)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://localhost:1")
    assert (await world.refusal(PRINCIPAL)).code == "token_server_unreachable"


async def test_a_token_server_that_nobody_vouches_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is not sent to a server whose certificate is not trusted."""
    monkeypatch.setattr("shared.cloud.azure.RETRIES", 0)
    monkeypatch.delenv("SSL_CERT_FILE")
    assert (await world.refusal(PRINCIPAL)).code == "token_server_unreachable"
    assert world.entra.requests == []


@pytest.mark.parametrize(
    ("cloud", "secrets", "code"),
    [
        pytest.param(PRINCIPAL, {"env:S": "wrong-canary"}, "identity_refused", id="wrong secret"),
        pytest.param(PRINCIPAL.model_copy(update={"client_id": "nobody"}), {}, "identity_refused", id="unknown client"),
        pytest.param(PRINCIPAL.model_copy(update={"tenant_id": "nowhere"}), {}, "identity_refused", id="unknown tenant"),
        pytest.param(PRINCIPAL.model_copy(update={"tenant_id": "a/../b?"}), {}, "identity_refused", id="hostile tenant"),
        pytest.param(MACHINE.model_copy(update={"client_id": "not-assigned"}), {}, "identity_not_assigned", id="not assigned"),
        pytest.param(KEYED, {"env:K": "{"}, "key_not_usable", id="no JSON"),
        pytest.param(KEYED, {"env:K": '{"type": "service_account", "private_key": "wrong-canary"}'}, "key_not_usable", id="no key"),
    ],
)
async def test_refusals_have_our_words(world: World, cloud: CloudConfig, secrets: dict[str, str], code: str) -> None:
    """A code, a cause and a remedy; nothing that was sent or answered."""
    world.secrets |= secrets
    error = await world.refusal(cloud)
    assert error.code == code
    assert error.why
    assert error.remedy
    assert "canary" not in f"{error.line()} {error!r} {error.__cause__} {error.__suppress_context__ or error.__context__}"


async def test_a_key_that_google_does_not_know(world: World) -> None:
    """Somebody else's key is refused, and its words stay out."""
    world.secrets["env:K"] = Google().key()
    error = await world.refusal(KEYED)
    assert error.code == "identity_refused"
    assert "eyJ" not in error.line()


async def test_nothing_secret_is_logged_or_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Not at the most talkative level, not by repr, also when refused."""
    with caplog.at_level(logging.DEBUG):
        shown = [repr(await world.tokens.database(cloud, ENDPOINT)) for cloud in (PRINCIPAL, MACHINE, KEYED, NEARBY)]
        world.secrets["env:S"] = "wrong-canary"
        await world.refusal(PRINCIPAL)
    text = f"{shown} {world.tokens!r} {[record.getMessage() for record in caplog.records]}"
    assert "canary" not in text


async def test_metrics(world: World) -> None:
    """Age and source of tokens, and what came of asking, can be seen from outside."""
    from prometheus_client import generate_latest

    await world.value(PRINCIPAL)
    world.now += 1000
    await world.value(PRINCIPAL)
    world.secrets["env:S"] = "wrong"
    await world.refusal(PRINCIPAL)
    told = generate_latest().decode()
    assert 'pursight_token_fetches_total{identity="service principal",outcome="identity_refused",provider="azure"}' in told
    assert 'pursight_token_age_seconds_bucket{identity="service principal",le="3600.0",provider="azure"}' in told
    assert "canary" not in told


async def test_stores_are_signed_in_to_for_themselves(world: World) -> None:
    """A bearer token for the store alone; for S3 what requests are signed with, a session's token behind a line end."""
    for cloud, engine in ((PRINCIPAL, "azure_blob"), (KEYED, "gcs")):
        database = await world.value(cloud)
        store = await world.tokens.database(cloud, ENDPOINT._replace(engine=engine, username=""))
        assert store.value.rpartition("-")[0] == database.rpartition("-")[0]
        assert store.value != database
    world.secrets["env:T"] = "session-canary"
    keys = AwsConfig(provider="aws", access_key_id="AKIAEXAMPLE", secret_access_key_ref="env:S")
    signed = await world.tokens.database(keys, ENDPOINT._replace(engine="s3"))
    assert (signed.account, signed.value) == ("AKIAEXAMPLE", SECRET)
    session = await world.tokens.database(keys.model_copy(update={"session_token_ref": "env:T"}), ENDPOINT._replace(engine="s3"))
    assert (session.account, session.value) == ("AKIAEXAMPLE", f"{SECRET}\nsession-canary")
    assert SECRET not in f"{signed!r}{session!r}"


async def test_an_api_token(world: World) -> None:
    """The same door serves APIs, with another scope and another place."""
    await world.value(PRINCIPAL)
    other = await world.tokens.bearer(PRINCIPAL, "https://vault.azure.net/.default", owner="default/crm")
    assert other.value == "token-canary-entra-2"
    assert DATABASE_SCOPE.startswith("https://ossrdbms-aad")


_WITHOUT = """
import asyncio, sys
for name in ("aiobotocore", "botocore", "azure", "azure.identity", "google", "google.auth", "google.oauth2"): sys.modules[name] = None
from shared.cloud.tokens import Endpoint, Tokens
from shared.contracts.cloud import AwsConfig, AzureConfig, GcpConfig
from shared.errors import Failed
CLOUDS = (AwsConfig(provider="aws", region="eu-central-1"), AzureConfig(provider="azure"), GcpConfig(provider="gcp"))
async def main():
    async def resolve(reference): return "x"
    for cloud in CLOUDS:
        try: await Tokens(resolve).database(cloud, Endpoint("a/b", "postgresql", "h", 1, "u"))
        except Failed as error: print(error.code, "|", error.line())
asyncio.run(main())
"""


def test_without_the_extras() -> None:
    """An installation without the libraries says in one line which extra to install, and imports without them."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert [line.partition(" | ")[0] for line in lines] == ["missing_extra"] * 3, done.stderr
    assert [f"pip install 'pursight[{extra}]'" in line for extra, line in zip(("aws", "azure", "gcp"), lines, strict=True)] == [True] * 3

"""Secret stores over the network, and the order in which several are asked."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.errors import Failed, PurSightError, Transient, UsageError
from shared.secrets.reference import Place
from shared.secrets.resolvers import Secrets
from shared.secrets.vault import LocalVault
from shared.secrets.vault_kv import VaultKv
from shared.sources.failures import failure_of
from tests.shared.cloud.doubles import AzureMetadata, Double, Google, redirect, served
from tests.tagger.moto_server import moto_server

CANARY = "stored-canary-91c"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts, and nothing of this machine's environment."""
    monkeypatch.setattr("shared.secrets.calls.DELAY_SECONDS", 0.01)
    for name in (
        "VAULT_ADDR",
        "VAULT_TOKEN",
        "VAULT_ROLE_ID",
        "VAULT_KUBERNETES_ROLE",
        "VAULT_AUTH_MOUNT",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)


async def refused(reference: str, home: Path, secrets: Secrets | None = None) -> PurSightError:
    with pytest.raises(PurSightError) as caught:
        await (secrets or Secrets(home)).resolve(reference)
    assert CANARY not in f"{caught.value.line()} {caught.value!r}"
    return caught.value


@dataclass
class Hashicorp(Double):
    """A Vault with the key-value engine at `secret`, AppRole and Kubernetes sign-in; `sealed` like a real one after a restart."""

    sealed: bool = False
    lease_seconds: int = 60
    valid: set[str] = field(default_factory=lambda: {"root"})
    secrets: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/auth/{mount}/login", self.login), web.get("/v1/secret/data/{path:.+}", self.read)]

    async def login(self, request: web.Request) -> web.Response:
        known = {"approle": {"role_id": "r1", "secret_id": CANARY}, "kubernetes": {"role": "r2", "jwt": CANARY}}
        if await request.json() != known.get(request.match_info["mount"]):
            return web.json_response({"errors": [f"invalid role or secret ID {CANARY}"]}, status=400)
        self.valid.add(token := f"client-canary-{len(self.valid)}")
        return web.json_response({"auth": {"client_token": token, "lease_duration": self.lease_seconds}})

    async def read(self, request: web.Request) -> web.Response:
        if self.sealed:
            return web.json_response({"errors": ["Vault is sealed"]}, status=503)
        if request.headers.get("X-Vault-Token") not in self.valid:
            return web.json_response({"errors": ["permission denied"]}, status=403)
        versions = self.secrets.get(request.match_info["path"], [])
        number = int(request.query.get("version", len(versions)))
        if not 1 <= number <= len(versions):
            return web.json_response({"errors": []}, status=404)
        return web.json_response({"data": {"data": versions[number - 1], "metadata": {"version": number}}})


@pytest.fixture
async def vault(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hashicorp]:
    double = Hashicorp()
    double.secrets["crm/db"] = [{"username": "scan", "password": "older"}, {"username": "scan", "password": CANARY}]
    double.secrets["one"] = [{"value": CANARY}]
    async with served(double, double.routes()):
        monkeypatch.setenv("VAULT_ADDR", double.address)
        monkeypatch.setenv("VAULT_TOKEN", "root")
        yield double


async def test_vault(vault: Hashicorp, tmp_path: Path) -> None:
    """The newest version's field; an older version; the only field without a name."""
    secrets = Secrets(tmp_path)
    found = [
        await secrets.resolve(text)
        for text in ("vault:secret/crm/db#password", "vault:secret/crm/db?version=1#password", "vault:secret/one")
    ]
    assert found == [CANARY, "older", CANARY]


@pytest.mark.parametrize("method", ["approle", "kubernetes"])
async def test_vault_by_a_role(vault: Hashicorp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """One sign-in serves many reads while its lease lasts, then there is a new one; a revoked one is noticed."""
    monkeypatch.delenv("VAULT_TOKEN")
    (tmp_path / "file").write_text(CANARY)
    role = {"VAULT_ROLE_ID": "r1", "VAULT_SECRET_ID": CANARY}
    pod = {"VAULT_KUBERNETES_ROLE": "r2", "VAULT_KUBERNETES_TOKEN_FILE": str(tmp_path / "file")}
    for name, value in (role if method == "approle" else pod).items():
        monkeypatch.setenv(name, value)
    now = [0.0]
    store = VaultKv(clock=lambda: now[0])
    place = Place.parse("secret/crm/db#password")
    logins = f"POST /v1/auth/{method}/login"
    assert [await store.read(place) for _ in range(3)] == [CANARY] * 3
    assert vault.requests.count(logins) == 1
    now[0] = 50.0
    assert await store.read(place) == CANARY
    assert vault.requests.count(logins) == 2
    vault.valid.clear()
    assert await store.read(place) == CANARY
    assert vault.requests.count(logins) == 3


@pytest.mark.parametrize(
    ("reference", "environment", "code"),
    [
        ("vault:secret/none#x", {}, "secret_missing"),
        ("vault:secret/crm/db#none", {}, "secret_missing"),
        ("vault:secret/crm/db?version=9#password", {}, "secret_missing"),
        ("vault:secret/crm/db", {}, "secret_reference_wrong"),
        ("vault:secret/../sys/x#y", {}, "secret_reference_wrong"),
        ("vault:secret/one", {"VAULT_TOKEN": "revoked"}, "secret_store_denied"),
        ("vault:secret/one", {"VAULT_ADDR": ""}, "secret_store_unconfigured"),
        ("vault:secret/one", {"VAULT_TOKEN": ""}, "secret_store_unconfigured"),
        ("vault:secret/one", {"VAULT_TOKEN": "", "VAULT_ROLE_ID": "r1", "VAULT_SECRET_ID": "guessed"}, "secret_store_denied"),
        ("vault:secret/one", {"VAULT_ADDR": "http://vault.example:8200"}, "secret_store_unsafe"),
        ("vault:secret/one", {"VAULT_ADDR": "http://127.0.0.1:1"}, "secret_store_unreachable"),
    ],
)
async def test_refusals_of_vault(
    vault: Hashicorp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, environment: dict[str, str], code: str
) -> None:
    """Each has a code; none repeats what was sent."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (await refused(reference, tmp_path)).code == code


async def test_a_sealed_vault_is_waited_for(vault: Hashicorp, tmp_path: Path) -> None:
    """Busy for a moment is asked again; sealed is told as something that passes."""
    vault.first = [503, 429]
    assert await Secrets(tmp_path).resolve("vault:secret/one") == CANARY
    vault.sealed = True
    error = await refused("vault:secret/one", tmp_path)
    assert (error.code, type(error)) == ("secret_store_unreachable", Transient)


async def test_a_store_that_hangs_is_given_up(vault: Hashicorp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever, and waiting may help later."""
    monkeypatch.setattr("shared.secrets.resolvers.STORE_SECONDS", 0.2)
    vault.slow_seconds = 5.0
    error = await refused("vault:secret/one", tmp_path)
    assert (error.code, type(error), failure_of(error).lasting) == ("secret_store_unreachable", Transient, False)


async def test_an_aws_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the secret store that is away, not the database."""
    monkeypatch.setattr("shared.cloud.aws.CALL_ATTEMPTS", 1)
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    assert (await refused("aws-sm:crm?region=eu-central-1", tmp_path)).code == "secret_store_unreachable"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


async def test_aws_secrets_manager(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A text, a key of JSON, a version stage, an ARN that brings its region; rotated means the next read is new."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_ENDPOINT_URL": moto,
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    secrets = Secrets(tmp_path)
    async with AwsSessions().client(AwsSignIn("eu-central-1"), "secretsmanager") as client:
        await client.create_secret(Name="prod/crm", SecretString=json.dumps({"password": "first", "port": 5432}))
        arn = (await client.create_secret(Name="plain", SecretString=CANARY))["ARN"]
        assert await secrets.resolve("aws-sm:prod/crm#password") == "first"
        await client.put_secret_value(SecretId="prod/crm", SecretString=json.dumps({"password": "second"}))
    assert await secrets.resolve("aws-sm:prod/crm#password") == "second"
    assert await secrets.resolve("aws-sm:prod/crm?stage=AWSPREVIOUS#password") == "first"
    monkeypatch.delenv("AWS_REGION")
    assert await secrets.resolve(f"aws-sm:{arn}") == CANARY
    assert (await refused("aws-sm:plain", tmp_path, secrets)).code == "region_missing"
    assert (await refused("aws-sm:none?region=eu-central-1", tmp_path, secrets)).code == "secret_missing"
    assert (await refused(f"aws-sm:{arn}#password", tmp_path, secrets)).code == "secret_missing"
    with caplog.at_level("DEBUG"):
        assert await Secrets(tmp_path).resolve(f"aws-sm:{arn}") == CANARY
    assert CANARY not in caplog.text, "the library's own log"


async def test_azure_key_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked with the machine's token for key vaults; a version may be named; a vault that is none is not asked."""
    async with AzureMetadata().up() as machine:

        async def answer(request: web.Request) -> web.Response:
            if request.headers.get("Authorization") != f"Bearer {machine.given[-1]}":
                return web.json_response({"error": {"code": "Unauthorized"}}, status=401)
            values = {"crm": CANARY, "crm/0123456789abcdef0123456789abcdef": "older"}
            name = request.match_info["name"]
            if name == "secret":
                return web.json_response({"error": {"code": "Forbidden"}}, status=403)
            if name not in values:
                return web.json_response({"error": {"code": "SecretNotFound"}}, status=404)
            return web.json_response({"value": values[name], "id": "x"})

        async with served(store := Double(), [web.get("/my-vault/secrets/{name:.+}", answer)]):
            monkeypatch.setattr("shared.secrets.clouds.AZURE_ADDRESS", store.address + "/{vault}/secrets/{name}?api-version=7.4")
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.address)
            secrets = Secrets(tmp_path)
            assert await secrets.resolve("azure-kv:my-vault/crm") == CANARY
            assert await secrets.resolve("azure-kv:my-vault/crm/0123456789abcdef0123456789abcdef") == "older"
            assert len(machine.given) == 1
            codes = [
                (await refused(f"azure-kv:{name}", tmp_path, secrets)).code
                for name in ("my-vault/none", "my-vault/secret", "evil.example/x")
            ]
            assert codes == ["secret_missing", "secret_store_denied", "secret_reference_wrong"]


async def test_gcp_secret_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked with the surroundings' token; the latest version, or a numbered one."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {google.given[-1]}":
            return web.json_response({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, status=401)
        value = {"crm/latest": CANARY, "crm/3": "older"}.get(f"{request.match_info['name']}/{request.match_info['version']}")
        if value is None:
            return web.json_response({"error": {"code": 404, "status": "NOT_FOUND"}}, status=404)
        return web.json_response({"name": "x", "payload": {"data": base64.b64encode(value.encode()).decode()}})

    async with Google().up() as google, served(store := Double(), [web.get("/{name}/{version}", answer)]):
        redirect(monkeypatch, google)
        monkeypatch.setenv("GCE_METADATA_IP", google.address.removeprefix("http://"))
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        monkeypatch.setattr("shared.secrets.clouds.GCP_ADDRESS", store.address + "/{name}/{version}")
        secrets = Secrets(tmp_path)
        assert await secrets.resolve("gcp-sm:my-shop/crm") == CANARY
        assert await secrets.resolve("gcp-sm:my-shop/crm?version=3") == "older"
        codes = [(await refused(f"gcp-sm:{name}", tmp_path, secrets)).code for name in ("my-shop/none", "my-shop/crm?version=../x", "crm")]
        assert codes == ["secret_missing", "secret_reference_wrong", "secret_reference_wrong"]


async def test_several_references_are_asked_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that has it answers; where none has, each miss is named by its store."""
    secrets, chain = Secrets(tmp_path), "env:CRM_CANARY | local:crm | file:/nowhere/crm"
    error = await refused(chain, tmp_path, secrets)
    assert (error.code, error.why) == ("secret_missing", "env: does not have it; local: does not have it; file: does not have it")
    LocalVault(tmp_path / "secrets").put("crm", "from local")
    assert await secrets.resolve(chain) == "from local"
    monkeypatch.setenv("CRM_CANARY", "from env")
    assert await secrets.resolve(chain) == "from env"
    monkeypatch.setenv("CRM_CANARY", "")
    assert await secrets.resolve(chain) == "from local"


async def test_a_store_that_is_away_does_not_hide_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is a miss with a reason; the whole passes only where waiting may help."""
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "x")
    error = await refused("env:NOT_THERE_1 | vault:secret/one", tmp_path)
    assert (error.code, type(error)) == ("secret_store_unreachable", Transient)
    assert error.why.startswith("env: does not have it; vault: ")
    LocalVault(tmp_path / "secrets").put("crm", CANARY)
    assert await Secrets(tmp_path).resolve("vault:secret/one | local:crm") == CANARY


async def test_a_chain_holds_no_literal(tmp_path: Path) -> None:
    """What is no reference is refused whole, and not repeated."""
    with pytest.raises(UsageError) as caught:
        await Secrets(tmp_path).resolve(f"env:A | {CANARY}")
    assert CANARY not in caught.value.line()


async def test_rotation_needs_no_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file, variable or stored secret is what the next connection gets."""
    secrets, vault = Secrets(tmp_path), LocalVault(tmp_path / "secrets")
    file = tmp_path.parent / f"{tmp_path.name}-password"
    for value in ("first", "second"):
        file.write_text(value + "\n")
        vault.put("crm", value)
        monkeypatch.setenv("CRM_ROTATED", value)
        found = [await secrets.resolve(text) for text in (f"file:{file}", "local:crm", "env:CRM_ROTATED")]
        assert found == [value] * 3


@pytest.mark.parametrize(
    "reference", ["env:PURSIGHT_DATABASE_URL", "env:VAULT_TOKEN", "file:{home}/secrets/keys.json", "file:/proc/self/environ"]
)
async def test_our_own_secrets_are_no_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    """A source, which chooses its host, cannot have them sent there."""
    monkeypatch.setenv("PURSIGHT_DATABASE_URL", CANARY)
    LocalVault(tmp_path / "secrets").put("crm", CANARY)
    error = await refused(reference.format(home=tmp_path), tmp_path)
    assert (error.code, type(error)) == ("secret_not_yours", Failed)

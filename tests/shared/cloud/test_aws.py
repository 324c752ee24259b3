"""Signing in to AWS: nothing secret is shown, and what is missing is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from shared.cloud.aws import AwsSessions, AwsSignIn, region_of
from shared.cloud.failures import TEXTS, TOKENS, diagnose, failure, no_token, refusal
from shared.cloud.tokens import Endpoint, Tokens
from shared.contracts.cloud import AwsConfig
from shared.errors import Failed, PurSightError, Transient
from tests.shared.cloud.doubles import Double, served
from tests.tagger.moto_server import Line, line_to, moto_server


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No identity in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_no_secret_in_repr() -> None:
    """A sign-in can be logged by mistake without harm."""
    sign_in = AwsSignIn(access_key_id="AKIA", secret_access_key="very-secret")
    assert "very-secret" not in f"{sign_in!r} {sign_in} {AwsSessions()!r}"


async def who(sign_in: AwsSignIn) -> str:
    async with AwsSessions().client(sign_in, "sts") as sts:
        return str((await sts.get_caller_identity())["Arn"])


async def test_an_access_key(moto: str) -> None:
    """A key that the source names is used."""
    assert "arn:aws" in await who(AwsSignIn("eu-central-1", access_key_id="x", secret_access_key="y", endpoint_url=moto))


async def test_a_role_is_assumed(moto: str) -> None:
    """With a role, calls are made in it."""
    role = "arn:aws:iam::123456789012:role/tagger"
    me = await who(AwsSignIn("eu-central-1", role_arn=role, access_key_id="x", secret_access_key="y", endpoint_url=moto))
    assert me == "arn:aws:sts::123456789012:assumed-role/tagger/pursight"


async def test_a_profile(moto: str, tmp_path: Path) -> None:
    """A named profile of the process's own configuration is used."""
    (tmp_path / "credentials").write_text("[data]\naws_access_key_id = x\naws_secret_access_key = y\n")
    assert "arn:aws" in await who(AwsSignIn("eu-central-1", profile="data", endpoint_url=moto))


@pytest.mark.parametrize(
    ("sign_in", "code"),
    [
        pytest.param(AwsSignIn("eu-central-1"), "no_credentials", id="nothing in the environment"),
        pytest.param(AwsSignIn("eu-central-1", profile="none"), "profile_missing", id="no such profile"),
        pytest.param(AwsSignIn("eu-central-1", role_arn="arn:aws:iam::1:role/x"), "no_credentials", id="a role but nobody to assume it"),
    ],
)
async def test_what_is_missing_is_named(sign_in: AwsSignIn, code: str) -> None:
    """Each way to have no identity has a code and a remedy."""
    with pytest.raises(Failed) as caught:
        await who(sign_in)
    assert caught.value.code == code
    assert caught.value.remedy


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is away is worth waiting for."""
    monkeypatch.setattr("shared.cloud.aws.CALL_ATTEMPTS", 1)
    with pytest.raises(Transient) as caught:
        await who(AwsSignIn("eu-central-1", access_key_id="x", secret_access_key="y", endpoint_url="http://127.0.0.1:1"))
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize(
    ("theirs", "status", "ours"),
    [
        ("ThrottlingException", 400, "throttled"),
        ("SomethingNew", 429, "throttled"),
        ("SomethingNew", 503, "unreachable"),
        ("SomethingNew", 403, "access_denied"),
        ("SomethingNew", 418, "provider_error"),
        ("com.amazonaws#AccessDeniedException", 400, "access_denied"),
        ("NoSuchBucket", 404, "not_found"),
        ("ExpiredToken", 400, "credentials_expired"),
    ],
)
def test_codes(theirs: str, status: int, ours: str) -> None:
    """Codes of the provider become ours; unknown ones are judged by the status."""
    assert refusal(theirs, status).code == ours


def test_unknown_text_is_not_passed_on() -> None:
    """A code is repeated only where it looks like one."""
    assert "Teapot" in refusal("Teapot", 418).why
    assert "anna" not in refusal("anna@acme.com said no", 418).why


def test_bugs_stay_bugs() -> None:
    """An error that no cloud library raised is not dressed up as the cloud's."""
    bug = KeyError("x")
    assert diagnose(bug) is bug


def test_every_failure_has_a_remedy() -> None:
    """No code without words."""
    assert all(failure(code).remedy and failure(code).why for code in TEXTS)
    assert all(no_token(code).remedy and no_token(code).why for code in TOKENS)


ENDPOINT = Endpoint("default/crm", "postgresql", "crm.abc.eu-central-1.rds.amazonaws.com", 5433, "Scan User")
ROLE = "arn:aws:iam::123456789012:role/reader"
SECRETS = {"env:SECRET": "aws-canary-3f", "env:SESSION": "session-canary"}


async def token(tokens: Tokens | None = None, **cloud: Any) -> str:
    """A database token for what cloud_config says."""
    return (await (tokens or signing()).database(AwsConfig(provider="aws", **cloud), ENDPOINT)).value


def signing() -> Tokens:
    async def resolve(reference: str) -> str:
        return SECRETS[reference]

    return Tokens(resolve)


def parts(value: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(value.partition("?")[2]).items()}


async def test_a_database_token_is_the_sdks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same address, user, region and moment give the very token that the SDK's generate_db_auth_token gives."""
    import botocore.session

    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    session = botocore.session.Session()
    session.set_credentials("AKIA1", "aws-canary-3f", "session-canary")
    theirs = session.create_client("rds", region_name="eu-central-1").generate_db_auth_token(ENDPOINT.host, 5433, "Scan User")
    keys = {"access_key_id": "AKIA1", "secret_access_key_ref": "env:SECRET", "session_token_ref": "env:SESSION"}
    assert await token(**keys) == theirs
    assert theirs.startswith("crm.abc.eu-central-1.rds.amazonaws.com:5433/?Action=connect&DBUser=Scan%20User&")


async def test_a_database_token_is_made_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moved past its 15 minutes: the next connection's token is of now, with the same session."""
    tokens, clock = signing(), [datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC), datetime(2026, 5, 4, 3, 18, 0, tzinfo=UTC)]
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: clock.pop(0))
    keys = {"access_key_id": "AKIA1", "secret_access_key_ref": "env:SECRET"}
    given = [parts(await token(tokens, **keys)) for _ in range(2)]
    assert [each["X-Amz-Date"] for each in given] == ["20260504T030201Z", "20260504T031800Z"]
    assert {each["X-Amz-Expires"] for each in given} == {"900"}


async def test_the_surroundings_a_profile_and_an_instances_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Environment before profile file before the instance's metadata, as everywhere else in AWS."""
    (tmp_path / "credentials").write_text("[data]\naws_access_key_id = FROMFILE\naws_secret_access_key = y\n")
    assert parts(await token(profile="data"))["X-Amz-Credential"].startswith("FROMFILE/")
    async with _instance() as address:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)
        given = parts(await token())
        assert (given["X-Amz-Credential"].partition("/")[0], given["X-Amz-Security-Token"]) == ("FROMINSTANCE", "instance-session")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    assert parts(await token())["X-Amz-Credential"].startswith("FROMENVIRONMENT/")


@asynccontextmanager
async def _instance() -> AsyncIterator[str]:
    """An instance's metadata server, second version: a session token first, then the role's name, then its keys."""
    keys = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "FROMINSTANCE", "SecretAccessKey": "y", "Token": "instance-session"}
    times = {"LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}

    async def answer(request: web.Request) -> web.Response:
        if request.method == "PUT":
            return web.Response(text="imds-session")
        if request.headers.get("x-aws-ec2-metadata-token") != "imds-session":
            return web.Response(status=401)
        return web.json_response(keys | times) if request.path.endswith("/reader") else web.Response(text="reader")

    double = Double()
    async with served(double, [web.route("*", "/latest/{rest:.*}", answer)]):
        yield double.address


async def test_a_role_with_an_external_id(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys assume the role, telling its owner's word; the token is the role's. One session serves many tokens."""
    bodies: list[str] = []
    monkeypatch.setattr(Line, "handle", _recording(bodies, Line.handle))
    async with line_to(moto) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", line.address)
        tokens, cloud = (
            signing(),
            {"role_arn": ROLE, "external_id": "their-word", "access_key_id": "A", "secret_access_key_ref": "env:SECRET"},
        )
        given = [parts(await token(tokens, **cloud)) for _ in range(3)]
        assert line.requests == ["AssumeRole"]
        assert "ExternalId=their-word" in bodies[0]
        assert all(each["X-Amz-Security-Token"] and each["X-Amz-Credential"].startswith("ASIA") for each in given)


def _recording(bodies: list[str], handle: Any) -> Any:
    async def recorded(self: Any, request: web.Request) -> web.StreamResponse:
        bodies.append((await request.read()).decode())
        return await handle(self, request)

    return recorded


async def test_a_web_identity(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The platform's token in a file takes on the role; without the file it is the file that is missing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    cloud = {"role_arn": ROLE, "web_identity_token_file": str(tmp_path / "token")}
    assert (await refused(**cloud)).code == "token_file_unreadable"
    (tmp_path / "token").write_text("federated-token")
    assert parts(await token(**cloud))["X-Amz-Credential"].startswith("ASIA")


async def refused(**cloud: Any) -> PurSightError:
    with pytest.raises(PurSightError) as caught:
        await token(**cloud)
    assert "canary" not in f"{caught.value.line()} {caught.value!r}"
    return caught.value


@pytest.mark.parametrize(
    ("theirs", "status", "code", "kind"),
    [
        ("AccessDenied", 403, "access_denied", Failed),
        ("InvalidClientTokenId", 403, "credentials_invalid", Failed),
        ("ExpiredToken", 400, "credentials_expired", Failed),
        ("Throttling", 400, "token_server_throttled", Transient),
        ("ServiceUnavailable", 503, "token_server_unreachable", Transient),
    ],
)
async def test_refusals_of_the_token_server(
    moto: str, monkeypatch: pytest.MonkeyPatch, theirs: str, status: int, code: str, kind: type[PurSightError]
) -> None:
    """Each in our words; what waiting helps against is told apart, and is AWS's, not the database's."""
    monkeypatch.setattr("shared.cloud.aws.CALL_ATTEMPTS", 1)
    text = f"<ErrorResponse><Error><Code>{theirs}</Code><Message>aws-canary-3f</Message></Error></ErrorResponse>"
    async with line_to(moto) as line:
        line.refuse = lambda action: web.Response(status=status, text=text, content_type="text/xml")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", line.address)
        error = await refused(role_arn=ROLE, access_key_id="A", secret_access_key_ref="env:SECRET")
    assert (error.code, type(error)) == (code, kind)


async def test_no_metadata_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the metadata address, and nobody at a container's: told apart from a machine without a role."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    assert (await refused()).code == "metadata_unreachable"
    async with served(double := Double(), [web.route("*", "/{rest:.*}", _nothing)]):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", double.address)
        assert (await refused()).code == "no_credentials"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/creds")
    assert (await refused()).code == "metadata_unreachable"


async def _nothing(request: web.Request) -> web.Response:
    return web.Response(status=404)


def test_regions() -> None:
    """The region stands in the endpoint's name, whatever its case; other names have none."""
    assert region_of("CRM.cluster-ro-abc.US-GOV-WEST-1.rds.amazonaws.com.") == "us-gov-west-1"
    assert region_of("crm.abc.cn-north-1.rds.amazonaws.com.cn") == "cn-north-1"
    assert region_of("rds.amazonaws.com.evil.example") == ""

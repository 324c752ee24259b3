"""Signing in to AWS: nothing secret is shown, and what is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.cloud.failures import TEXTS, diagnose, failure, refusal
from shared.errors import Failed, Transient
from tests.tagger.moto_server import moto_server


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

"""The clouds' own secret stores, asked as whoever the process is in its surroundings."""

from __future__ import annotations

import base64
import os
import re
from typing import Any

from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.cloud.azure import VAULT_SCOPE
from shared.cloud.failures import failure
from shared.cloud.gcp import CLOUD_SCOPE
from shared.cloud.tokens import OURSELVES, Tokens
from shared.contracts.cloud import AzureConfig, GcpConfig
from shared.errors import PurSightError, Transient
from shared.secrets.calls import away, call, denied, misnamed
from shared.secrets.reference import Place

AZURE_ADDRESS = "https://{vault}.vault.azure.net/secrets/{name}?api-version=7.4"
GCP_ADDRESS = "https://secretmanager.googleapis.com/v1/projects/{project}/secrets/{name}/versions/{version}:access"
_AWS_NAME = re.compile(r"[\w/+=.@:\-]{1,2048}")
_AZURE_NAME = re.compile(r"(?P<vault>[A-Za-z][A-Za-z0-9-]{2,23})/(?P<name>[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?)")
_GCP_NAME = re.compile(r"(?P<project>[a-z][a-z0-9.:\-]{2,62}|\d+)/(?P<name>[\w-]{1,255})")


class AwsSecrets:
    """AWS Secrets Manager."""

    def __init__(self) -> None:
        self._sessions = AwsSessions()

    async def read(self, place: Place) -> str | None:
        """`stage` (AWSCURRENT where it is left out) and `region` are options. Raises as `AwsSessions.client` does."""
        if not _AWS_NAME.fullmatch(place.path):
            raise misnamed("aws-sm", "aws-sm:NAME or aws-sm:ARN")
        wanted = {"SecretId": place.path} | ({"VersionStage": place.options["stage"]} if "stage" in place.options else {})
        try:
            async with self._sessions.client(AwsSignIn(region=_region(place), ours=True), "secretsmanager") as client:
                answer = await client.get_secret_value(**wanted)
        except PurSightError as error:
            if error.code == "not_found":
                return None
            if isinstance(error, Transient):
                raise away("aws-sm") from None
            raise (denied("aws-sm") if error.code == "access_denied" else error) from None
        return str(answer["SecretString"]) if "SecretString" in answer else bytes(answer["SecretBinary"]).decode()


def _region(place: Place) -> str:
    """As asked for, as the ARN says, or the process's own."""
    arn = place.path.split(":")
    own = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    region = place.options.get("region") or (arn[3] if place.path.startswith("arn:") and len(arn) > 3 else own)
    if not region:
        raise failure("region_missing")
    return region


class AzureSecrets:
    """Azure Key Vault."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def read(self, place: Place) -> str | None:
        """A version may follow the name. Raises as `Tokens.bearer` does, Failed `secret_store_denied`."""
        if not (named := _AZURE_NAME.fullmatch(place.path)):
            raise misnamed("azure-kv", "azure-kv:VAULT/NAME")
        token = await self._tokens.bearer(AzureConfig(provider="azure"), VAULT_SCOPE, owner=OURSELVES)
        answer = await _asked("azure-kv", AZURE_ADDRESS.format(**named.groupdict()), token.value)
        return None if answer is None else str(answer["value"])


class GcpSecrets:
    """GCP Secret Manager."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def read(self, place: Place) -> str | None:
        """`version` is an option; the latest where it is left out. Raises as `Tokens.bearer` does, Failed `secret_store_denied`."""
        version = place.options.get("version", "latest")
        named = _GCP_NAME.fullmatch(place.path)
        if not named or not re.fullmatch(r"latest|\d+|[A-Za-z][\w-]{0,62}", version):
            raise misnamed("gcp-sm", "gcp-sm:PROJECT/NAME?version=3")
        token = await self._tokens.bearer(GcpConfig(provider="gcp"), CLOUD_SCOPE, owner=OURSELVES)
        answer = await _asked("gcp-sm", GCP_ADDRESS.format(**named.groupdict(), version=version), token.value)
        return None if answer is None else base64.b64decode(answer["payload"]["data"]).decode()


async def _asked(store: str, url: str, token: str) -> Any:
    """The answer; None where there is no such secret, or none that may be read in this version."""
    status, answer = await call(store, "GET", url, headers={"Authorization": f"Bearer {token}"})
    if status == 404:
        return None
    if status != 200:
        raise denied(store)
    return answer

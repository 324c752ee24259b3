"""Tokens of Entra ID, by azure-identity, which is an extra and imported only when first needed.

Every call makes a credential of its own and closes it: nothing is cached below `tokens.Tokens`, and no session stays open.
Addresses are Microsoft's own (AZURE_AUTHORITY_HOST, for the operator's other cloud); a source can choose none of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from shared.cloud.failures import missing_extra, no_token
from shared.cloud.token import METADATA_SECONDS, Token, hush
from shared.contracts.cloud import AzureConfig
from shared.errors import Failed

DATABASE_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"  # PostgreSQL and MySQL alike
STORE_SCOPE = "https://storage.azure.com/.default"
VAULT_SCOPE = "https://vault.azure.net/.default"
CONNECT_SECONDS, READ_SECONDS = 2, 10
RETRIES, BACKOFF_SECONDS = 3, 0.4

# Entra's own numbers for a refusal, and what each means to us.
_REFUSALS = {
    "7000222": "identity_secret_expired",
    "70021": "federation_refused",
    "700211": "federation_refused",
    "700212": "federation_refused",
    "700213": "federation_refused",
    "700024": "federation_refused",
    "50027": "federation_refused",
    "7000215": "identity_refused",
    "7000216": "identity_refused",
    "700016": "identity_refused",
    "90002": "identity_refused",
    "900023": "identity_refused",
}
_NUMBER = re.compile(r"AADSTS(\d{4,8})\b")


async def fetch(cloud: AzureConfig, scope: str, *, secret: str = "") -> Token:
    """A new token for `scope`. `secret` is the service principal's.

    Raises Failed with a code of `failures.TOKENS`, or `missing_extra`; Transient where waiting helps.
    """
    library = _library()
    try:
        async with _credential(library, cloud, secret) as credential:
            given = await credential.get_token(scope)
    except Exception as error:
        raise _told(error) from None
    return Token(given.token, float(given.expires_on))


def _library() -> Any:
    try:
        import azure.identity.aio
    except ImportError:
        raise missing_extra("Azure", "azure") from None
    hush("azure", "msal")
    return azure.identity.aio


def _credential(library: Any, cloud: AzureConfig, secret: str) -> Any:
    """The first that cloud_config asks for; without any word, what the process itself is by its environment."""
    environment = os.environ
    if cloud.use_workload_identity:
        return _workload(library, cloud.tenant_id, cloud.client_id, cloud.federated_token_file)
    if cloud.use_managed_identity:
        return _managed(library, cloud.client_id)
    if secret:
        return library.ClientSecretCredential(cloud.tenant_id, cloud.client_id, secret, **_calls())
    if all(environment.get(name) for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")):
        return library.EnvironmentCredential(**_calls())
    if environment.get("AZURE_FEDERATED_TOKEN_FILE"):
        return _workload(library, environment.get("AZURE_TENANT_ID", ""), environment.get("AZURE_CLIENT_ID", ""), "")
    return _managed(library, environment.get("AZURE_CLIENT_ID", ""))


def _workload(library: Any, tenant: str, client: str, file: str) -> Any:
    path = file or os.environ.get("AZURE_FEDERATED_TOKEN_FILE", "")
    try:
        Path(path).read_bytes()
    except OSError:
        raise no_token("token_file_unreadable") from None
    return library.WorkloadIdentityCredential(tenant_id=tenant, client_id=client, token_file_path=path, **_calls())


def _managed(library: Any, client: str) -> Any:
    more = _calls() | {"connection_timeout": METADATA_SECONDS}
    return library.ManagedIdentityCredential(**({"client_id": client} if client else {}), **more)


def _calls() -> dict[str, Any]:
    """How the library is to call: briefly, with growing delay, trusting what the operator's environment trusts."""
    return {
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retry_total": RETRIES,
        "retry_backoff_factor": BACKOFF_SECONDS,
        "disable_instance_discovery": True,
        "connection_verify": os.environ.get("SSL_CERT_FILE") or True,
    }


def _told(error: Exception) -> Exception:
    """The library's exceptions by their kind, their HTTP status and Entra's number; their words stay here."""
    chain = list(_chain(error))
    statuses = [status for each in chain if (status := _status(each))]
    numbers = [found[1] for each in chain if (found := _NUMBER.search(str(each)))]
    kinds = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if denied := next((each for each in chain if isinstance(each, Failed)), None):
        return denied  # the guard's
    if 429 in statuses:
        return no_token("token_server_throttled")
    if any(status >= 500 for status in statuses):
        return no_token("token_server_unreachable")
    if code := next((_REFUSALS[number] for number in numbers if number in _REFUSALS), ""):
        return no_token(code)
    if "CredentialUnavailableError" in kinds:
        return no_token("identity_not_assigned" if statuses else "metadata_unreachable")
    if "ClientAuthenticationError" in kinds:
        return no_token("identity_refused" if {400, 401} & set(statuses) else "token_refused")
    if "ServiceRequestError" in kinds or "ServiceResponseError" in kinds or isinstance(error, OSError):
        return no_token("token_server_unreachable")
    return no_token("identity_refused") if isinstance(error, ValueError) else error


def _status(error: BaseException) -> int:
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


def _chain(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

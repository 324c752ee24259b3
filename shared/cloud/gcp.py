"""Tokens of Google, by google-auth, which is an extra and imported only when first needed. Its calls block, so each has a thread.

A key that a source names may say who it is, never where its token comes from: the address is Google's, whatever the JSON says.
Federation is the operator's to set up (GOOGLE_APPLICATION_CREDENTIALS), because such a file names addresses, files and programs.
"""

from __future__ import annotations

import asyncio
import calendar
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from shared.cloud.failures import missing_extra, no_token
from shared.cloud.token import Token, hush, somebody_at
from shared.contracts.cloud import GcpConfig
from shared.egress import own_identity_allowed

LOGIN_SCOPE = "https://www.googleapis.com/auth/sqlservice.login"
STORE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_ADDRESS = "https://oauth2.googleapis.com/token"
IMPERSONATE_ADDRESS = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{}:generateAccessToken"
METADATA = "metadata.google.internal"
GOOGLES_OWN = ".googleapis.com"
CALL_SECONDS = 5
TOKEN_SECONDS = 3600
_MAIL = re.compile(r"[\w.\-]{1,128}@[\w.\-]{1,128}")
_TOKENS_COME_FROM = ("token_uri", "token_url", "token_info_url", "service_account_impersonation_url")
_KEPT = ("type", "project_id", "private_key_id", "private_key", "client_email", "client_id")


def database_user(engine: str, account: str) -> str:
    """What Cloud SQL calls an account. PostgreSQL: its mail, a service account's without `.gserviceaccount.com`. MySQL: what is before @.

    https://cloud.google.com/sql/docs/postgres/add-manage-iam-users and its twin for MySQL.

    >>> database_user("postgresql", "scan@shop.iam.gserviceaccount.com"), database_user("mysql", "scan@shop.iam.gserviceaccount.com")
    ('scan@shop.iam', 'scan')
    """
    if engine in ("mysql", "mariadb"):
        return account.partition("@")[0]
    return account.removesuffix(".gserviceaccount.com")


async def fetch(cloud: GcpConfig, scope: str, *, key: str = "") -> Token:
    """A new token for `scope`. `key` is the JSON of a service account's key.

    Raises Failed with a code of `failures.TOKENS`, or `missing_extra`; Transient where waiting helps.
    """
    library = _library()
    if cloud.use_workload_identity and not await somebody_at(f"http://{os.environ.get('GCE_METADATA_HOST', METADATA)}"):
        raise no_token("metadata_unreachable")
    return await asyncio.to_thread(_fetch, library, cloud, scope, key)


def _library() -> Any:
    """The parts of google-auth that are used."""
    try:
        from google import auth
        from google.auth import compute_engine, exceptions, impersonated_credentials
        from google.auth.transport import requests
        from google.oauth2 import service_account
    except ImportError:
        raise missing_extra("GCP", "gcp") from None
    hush("google.auth")
    return SimpleNamespace(
        auth=auth,
        compute_engine=compute_engine,
        exceptions=exceptions,
        impersonated_credentials=impersonated_credentials,
        requests=requests,
        service_account=service_account,
    )


def _fetch(library: Any, cloud: GcpConfig, scope: str, key: str) -> Token:
    call = partial(library.requests.Request(), timeout=CALL_SECONDS)
    try:
        credentials = _credentials(library, cloud, scope, key, call)
        if not credentials.valid:
            credentials.refresh(call)
    except Exception as error:
        raise _told(library, cloud, error) from None
    account = str(getattr(credentials, "service_account_email", "") or "")
    return Token(credentials.token, float(calendar.timegm(credentials.expiry.utctimetuple())), account if "@" in account else "")


def _credentials(library: Any, cloud: GcpConfig, scope: str, key: str, call: Any) -> Any:
    other = cloud.impersonate_service_account
    base = _base(library, cloud, [CLOUD_SCOPE if other else scope], key, call)
    if not other:
        return base
    if not _MAIL.fullmatch(other):  # it becomes a part of an address
        raise no_token("identity_refused")
    return library.impersonated_credentials.Credentials(
        base,
        target_principal=other,
        target_scopes=[scope],
        lifetime=TOKEN_SECONDS,
        iam_endpoint_override=IMPERSONATE_ADDRESS.format(other),
    )


def _base(library: Any, cloud: GcpConfig, scopes: list[str], key: str, call: Any) -> Any:
    if key:
        return library.service_account.Credentials.from_service_account_info(_of_google(key), scopes=scopes)
    if cloud.use_workload_identity:
        return library.compute_engine.Credentials(scopes=scopes)
    _check_file(os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", ""))
    if not own_identity_allowed() and not (os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or _signed_in_here()):
        raise no_token("own_identity_denied")  # the library would ask the metadata server, past the guard of our loop
    return library.auth.default(scopes=scopes, request=call)[0]


def _signed_in_here() -> bool:
    """Did somebody sign in on this machine, as `gcloud auth application-default login` does?"""
    from google.auth import _cloud_sdk

    return Path(_cloud_sdk.get_application_default_credentials_path()).is_file()  # type: ignore[no-untyped-call]


def _of_google(key: str) -> dict[str, str]:
    """The parts of a key that say who it is. Raises Failed (`key_not_usable`)."""
    try:
        found = json.loads(key)
    except ValueError:
        raise no_token("key_not_usable") from None
    if not isinstance(found, dict) or found.get("type") != "service_account":
        raise no_token("key_not_usable")
    return {name: str(found[name]) for name in _KEPT if name in found} | {"token_uri": TOKEN_ADDRESS}


def _check_file(path: str) -> None:
    """The operator's own file may federate, with Google's servers only. Read before the library acts on it."""
    try:
        found = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        raise no_token("key_not_usable") from None
    for address in _addresses(found):
        parts = urlsplit(address)
        if parts.scheme != "https" or not (parts.hostname or "").endswith(GOOGLES_OWN):
            raise no_token("token_address_refused")


def _addresses(found: Any) -> Iterator[str]:
    """Where a file of credentials says that tokens come from, at any depth."""
    for name, value in found.items() if isinstance(found, dict) else ():
        if name in _TOKENS_COME_FROM and value:
            yield str(value)
        yield from _addresses(value)


def _told(library: Any, cloud: GcpConfig, error: Exception) -> Exception:
    """The library's exceptions by their kind and Google's codes; their words stay here."""
    errors = library.exceptions
    if isinstance(error, errors.RefreshError | errors.TransportError):
        return no_token(_code(errors, error))
    if isinstance(error, ValueError | errors.GoogleAuthError):
        return no_token("key_not_usable" if cloud.service_account_ref else "identity_missing")
    return error


def _code(errors: Any, error: Exception) -> str:
    if isinstance(error, errors.TransportError) or isinstance(error.__cause__ or error.__context__, errors.TransportError):
        return "token_server_unreachable"
    status, word = _answer(error)
    if status == 429 or word in ("rate_limit_exceeded", "RESOURCE_EXHAUSTED", "slow_down"):
        return "token_server_throttled"
    if status >= 500 or getattr(error, "retryable", False):
        return "token_server_unreachable"
    if status in (403, 404) or word in ("unauthorized_client", "access_denied", "PERMISSION_DENIED"):
        return "identity_denied"
    return "identity_refused" if word.startswith("invalid_") else "token_refused"


def _answer(error: Exception) -> tuple[int, str]:
    """HTTP status and error word in Google's answer, which comes parsed or as text; 0 and empty where it is neither."""
    body = error.args[1] if len(error.args) > 1 else {}
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            body = {}
    found = body.get("error", "") if isinstance(body, dict) else ""
    if isinstance(found, dict):
        return int(found.get("code") or 0), str(found.get("status") or "")
    return 0, str(found)

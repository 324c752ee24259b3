"""Sign-in to AWS: sessions and clients of aiobotocore, which is an extra and imported only when first needed.

A session signs in as the environment says (botocore's own chain), with a named profile, or with an access key; a role,
where one is given, is assumed on top, or with a web identity's token, and renewed before it ends. A token for an RDS database is
signed here, for the address that is dialled, without asking anybody. No secret is shown by any `repr`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from shared.cloud.failures import diagnose, failure, missing_extra, no_token
from shared.cloud.token import Token, hush, somebody_at
from shared.contracts.cloud import AwsConfig
from shared.egress import surroundings_lent

DEFAULT_REGION = "us-east-1"
CONNECT_SECONDS, READ_SECONDS = 5, 20
CALL_ATTEMPTS = 5  # botocore's standard mode: growing delay with jitter, throttling and 5xx answers only
ROLE_SECONDS = 3600
KEPT_SESSIONS = 64
DATABASE_TOKEN_SECONDS = 900  # RDS takes no other value
METADATA = "http://169.254.169.254"

Resolve = Callable[[str], Awaitable[str]]  # from a secret's reference to its value
_RDS_REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?\.?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AwsSignIn:
    """As whom, and where. All empty: the process's own identity by botocore's chain."""

    region: str = ""
    profile: str = ""
    role_arn: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    endpoint_url: str = ""
    session_token: str = field(default="", repr=False)
    external_id: str = ""
    web_identity_token_file: str = ""
    ours: bool = False  # for PurSight itself, on behalf of no source

    @classmethod
    async def of(cls, cloud: AwsConfig, resolve: Resolve) -> AwsSignIn:
        """What a source's cloud_config asks for, its secrets resolved. Its endpoint_url is left out: the caller decides on that."""
        secret, session = [await resolve(each) if each else "" for each in (cloud.secret_access_key_ref, cloud.session_token_ref)]
        return cls(
            cloud.region,
            cloud.profile,
            cloud.role_arn,
            cloud.access_key_id,
            secret,
            session_token=session,
            external_id=cloud.external_id,
            web_identity_token_file=cloud.web_identity_token_file,
        )


def region_of(host: str) -> str:
    """The region in the name of an RDS endpoint; empty where there is none.

    >>> region_of("crm.abc.eu-central-1.rds.amazonaws.com")
    'eu-central-1'
    """
    found = _RDS_REGION.search(host)
    return found[1].lower() if found else ""


class AwsSessions:
    """Signed-in sessions, kept for reuse; each renews its role before it ends. Used within one event loop."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[AwsSignIn, Any] = OrderedDict()

    @asynccontextmanager
    async def client(self, sign_in: AwsSignIn, service: str, *, region: str = "") -> AsyncIterator[Any]:
        """A client of one service, closed on exit.

        What goes wrong inside is raised as our own error: Failed `missing_extra`, `no_credentials`, `profile_missing`,
        and what `failures.diagnose` knows; Transient where waiting helps.
        """
        where = region or sign_in.region or DEFAULT_REGION
        session = self._session(sign_in)
        try:
            async with session.create_client(
                service, region_name=where, endpoint_url=sign_in.endpoint_url or None, config=_config()
            ) as client:
                if sign_in.endpoint_url and service == "s3control":
                    client.meta.events.register("before-call.s3-control", _at_one_name)
                yield client
        except Exception as error:
            raise diagnose(error) from None

    async def database_token(self, sign_in: AwsSignIn, *, host: str, port: int, username: str) -> str:
        """What RDS takes as the password of `username` for the next 15 minutes: a signed request for exactly this host and port.

        Raises as `client` does, and Failed `metadata_unreachable`, `region_missing`, `token_file_unreadable`.
        """
        if not (region := sign_in.region or region_of(host)):
            raise failure("region_missing")
        signing = await self._credentials(sign_in)
        request = _library().awsrequest.AWSRequest("GET", f"https://{host}:{port}/?{urlencode({'Action': 'connect', 'DBUser': username})}")
        _library().auth.SigV4QueryAuth(signing, "rds-db", region, expires=DATABASE_TOKEN_SECONDS).add_auth(request)
        return str(request.url).removeprefix("https://")

    async def keys(self, sign_in: AwsSignIn) -> Token:
        """What requests are signed with: the key's id as the account, its secret as the value, a session's token behind a line end.

        A role's are renewed here before they end, so a caller asks again and keeps none. Raises as `database_token` does.
        """
        signing = await self._credentials(sign_in)
        return Token("\n".join(filter(None, (signing.secret_key, signing.token))), 0.0, signing.access_key)

    async def _credentials(self, sign_in: AwsSignIn) -> Any:
        session = self._session(sign_in)
        try:
            credentials = await session.get_credentials()
            if credentials is None:
                raise await _nobody()
            return await credentials.get_frozen_credentials()
        except Exception as error:
            raise diagnose(error) from None

    def forget(self, sign_in: AwsSignIn) -> None:
        """The next use signs in anew."""
        self._sessions.pop(replace(sign_in, region=""), None)

    def _session(self, sign_in: AwsSignIn) -> Any:
        """Raises Failed (`own_identity_denied`) where a source would sign in with what is the process's."""
        if not (sign_in.ours or sign_in.access_key_id or sign_in.web_identity_token_file or surroundings_lent()):
            raise no_token("own_identity_denied")
        key = replace(sign_in, region="")
        if key not in self._sessions:
            self._sessions[key] = _signed_in(sign_in)
        self._sessions.move_to_end(key)
        while len(self._sessions) > KEPT_SESSIONS:
            self._sessions.popitem(last=False)
        return self._sessions[key]


async def _nobody() -> Exception:
    """Why botocore's chain, which does not say, ended without an identity."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return failure("no_credentials")
    there = await somebody_at(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", METADATA))
    return failure("no_credentials") if there else no_token("metadata_unreachable")


class _Parts:
    """What is used of aiobotocore and botocore."""

    def __init__(self) -> None:
        import aiobotocore.config
        import aiobotocore.credentials
        import aiobotocore.session
        import botocore.auth
        import botocore.awsrequest
        import botocore.loaders

        self.config, self.credentials, self.session = aiobotocore.config, aiobotocore.credentials, aiobotocore.session
        self.auth, self.awsrequest, self.loaders = botocore.auth, botocore.awsrequest, botocore.loaders


def _library() -> Any:
    """The libraries. Raises Failed (`missing_extra`)."""
    try:
        parts = _Parts()
    except ImportError:
        raise missing_extra("AWS", "aws") from None
    hush("botocore", "aiobotocore")
    return parts


def _at_one_name(params: dict[str, Any], **_: Any) -> None:
    """S3 Control has a host for each account; an address that an operator names is one host."""
    params["url"] = params["url"].replace(f"//{params['headers']['x-amz-account-id']}.", "//", 1)


def _config() -> Any:
    return _library().config.AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": CALL_ATTEMPTS},
        user_agent_extra="pursight",
    )


def _signed_in(sign_in: AwsSignIn) -> Any:
    library = _library()
    try:
        session = _session(library, sign_in.profile or None)
        if sign_in.access_key_id:
            session.set_credentials(sign_in.access_key_id, sign_in.secret_access_key, sign_in.session_token or None)
        return _in_role(session, sign_in, library) if sign_in.role_arn else session
    except Exception as error:
        raise diagnose(error) from None


def _session(library: Any, profile: str | None = None) -> Any:
    """A session that shares what is known of AWS's services with all others: reading it takes longer than a call."""
    session = library.session.AioSession(profile=profile)
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> Any:
    return _library().loaders.create_loader()


def _in_role(base: Any, sign_in: AwsSignIn, library: Any) -> Any:
    """A session that acts in the role; the role is taken on when first used, by the base session or the web identity's token."""

    async def assume() -> dict[str, str]:
        region = sign_in.region or DEFAULT_REGION
        wanted = {"RoleArn": sign_in.role_arn, "RoleSessionName": "pursight", "DurationSeconds": ROLE_SECONDS}
        async with base.create_client("sts", region_name=region, endpoint_url=sign_in.endpoint_url or None, config=_config()) as sts:
            if sign_in.web_identity_token_file:
                token = await asyncio.to_thread(_read, sign_in.web_identity_token_file)  # read each time: it is replaced on disk
                answer = await sts.assume_role_with_web_identity(**wanted, WebIdentityToken=token)
            else:
                answer = await sts.assume_role(**wanted, **({"ExternalId": sign_in.external_id} if sign_in.external_id else {}))
        given = answer["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    session = _session(library)
    session._credentials = library.credentials.AioDeferredRefreshableCredentials(method="assume-role", refresh_using=assume)
    return session


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise no_token("token_file_unreadable") from None

"""Sign-in to AWS: sessions and clients of aiobotocore, which is an extra and imported only when first needed.

A session signs in as the environment says (botocore's own chain), with a named profile, or with an access key; a role,
where one is given, is assumed on top and renewed before it ends. No secret is shown by any `repr`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from shared.cloud.failures import diagnose
from shared.errors import Failed

DEFAULT_REGION = "us-east-1"
CONNECT_SECONDS, READ_SECONDS = 5, 20
CALL_ATTEMPTS = 5  # botocore's standard mode: growing delay with jitter, throttling and 5xx answers only
ROLE_SECONDS = 3600
KEPT_SESSIONS = 64


@dataclass(frozen=True, slots=True)
class AwsSignIn:
    """As whom, and where. All empty: the process's own identity by botocore's chain."""

    region: str = ""
    profile: str = ""
    role_arn: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    endpoint_url: str = ""


class AwsSessions:
    """Signed-in sessions, kept for reuse. Used within one event loop."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[AwsSignIn, Any] = OrderedDict()

    @asynccontextmanager
    async def client(self, sign_in: AwsSignIn, service: str, *, region: str = "") -> AsyncIterator[Any]:
        """A client of one service, closed on exit.

        What goes wrong inside is raised as our own error: Failed `extra_missing`, `no_credentials`, `profile_missing`,
        and what `failures.diagnose` knows; Transient where waiting helps.
        """
        where = region or sign_in.region or DEFAULT_REGION
        session = self._session(sign_in)
        try:
            async with session.create_client(
                service, region_name=where, endpoint_url=sign_in.endpoint_url or None, config=_config()
            ) as client:
                yield client
        except Exception as error:
            raise diagnose(error) from None

    def _session(self, sign_in: AwsSignIn) -> Any:
        key = replace(sign_in, region="")
        if key not in self._sessions:
            self._sessions[key] = _signed_in(sign_in)
        self._sessions.move_to_end(key)
        while len(self._sessions) > KEPT_SESSIONS:
            self._sessions.popitem(last=False)
        return self._sessions[key]


def _library() -> Any:
    """The aiobotocore package. Raises Failed (`extra_missing`)."""
    try:
        import aiobotocore.config
        import aiobotocore.credentials
        import aiobotocore.session
    except ImportError:
        raise Failed(
            "AWS cannot be reached from this installation",
            why="the extra 'aws' is not installed",
            remedy="Install it: pip install 'pursight[aws]'.",
            code="extra_missing",
        ) from None
    return aiobotocore


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
        session = library.session.AioSession(profile=sign_in.profile or None)
        if sign_in.access_key_id:
            session.set_credentials(sign_in.access_key_id, sign_in.secret_access_key)
        return _in_role(session, sign_in, library) if sign_in.role_arn else session
    except Exception as error:
        raise diagnose(error) from None


def _in_role(base: Any, sign_in: AwsSignIn, library: Any) -> Any:
    """A session that acts in the role; the role is assumed with the base session's identity when first used."""

    async def assume() -> dict[str, str]:
        region = sign_in.region or DEFAULT_REGION
        async with base.create_client("sts", region_name=region, endpoint_url=sign_in.endpoint_url or None, config=_config()) as sts:
            answer = await sts.assume_role(RoleArn=sign_in.role_arn, RoleSessionName="pursight", DurationSeconds=ROLE_SECONDS)
        given = answer["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    session = library.session.AioSession()
    session._credentials = library.credentials.AioDeferredRefreshableCredentials(method="assume-role", refresh_using=assume)
    return session

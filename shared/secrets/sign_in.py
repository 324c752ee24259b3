"""What to sign in to a data source with, asked for anew at each physical connection: a password of a store, or a token of a cloud."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from shared.cloud.posture import CloudPosture
from shared.cloud.tokens import BY_TOKEN, Endpoint, Tokens
from shared.contracts.connection import ConnectionPlan
from shared.contracts.judging.allowed import ANY, Allowed, endpoint_refused
from shared.contracts.source import DataSource, Problem, SslConfig
from shared.errors import Failed
from shared.secrets.resolvers import Secrets

Lookup = Callable[[str, int, bool], Awaitable[tuple[str, str]]]  # as `shared.sources.base.Lookup`


class SignIn:
    """Passwords and tokens of one process. Used within one event loop."""

    def __init__(self, home: Path, allowed: Allowed = ANY, *, clock: Callable[[], float] = time.time) -> None:
        self._secrets, self._allowed = Secrets(home), allowed
        self._clock, self._fetched = clock, dict[str, tuple[float, float]]()
        self._tokens = Tokens(self._secrets.resolve, clock=clock)
        self.posture = CloudPosture(self._tokens, self._secrets.resolve)

    def lookup(self, spec: DataSource, plan: ConnectionPlan, *, password: str | None = None) -> Lookup:
        """Username and password for a host and port; `again` where the last ones were refused.

        `password` stands in for the stored one and is kept by nobody but the returned function. What that raises: PurSightError with a
        code of the secret stores or of `shared.cloud.failures`.

        Raises Failed at once where the source names a secret that its tenant may not use (`secret_not_allowed`), or a host that its
        cloud's token may not reach (`endpoint_not_allowed`); the function raises that, too, for the host that is really dialled.
        """
        self._check(spec)

        async def asked(host: str, port: int, again: bool) -> tuple[str, str]:
            if plan.sign_in in (*BY_TOKEN, "aws_keys") and spec.cloud_config:
                if not self._allowed.reaches(spec, plan.sign_in, host):
                    raise _refused(endpoint_refused("host"))
                endpoint = Endpoint(spec.key, spec.engine, host, port, plan.username)
                token = await self._tokens.database(spec.cloud_config, endpoint, again=again)
                if self._fetched.get(spec.key, (0.0, 0.0))[0] != token.expires_at:  # not the one that was kept
                    self._fetched[spec.key] = token.expires_at, self._clock()
                return token.account or plan.username, token.value
            if password is not None or not plan.secret:
                return plan.username, password or ""
            return plan.username, await self._secrets.resolve(plan.secret)

        return asked

    def token_since(self, spec: DataSource) -> float | None:
        """When the token that the source signed in with last was fetched, in seconds since 1970; None where there was none."""
        found = self._fetched.get(spec.key)
        return found[1] if found else None

    async def tls_files(self, spec: DataSource) -> SslConfig:
        """The source's TLS settings with each reference replaced by what it names now: PEM text. Raises as `lookup` and its function do."""
        self._check(spec)
        given = spec.ssl_config
        named = {part: text for part in ("ca", "cert", "key") if (text := getattr(given, part)) and not text.startswith("/")}
        return given.model_copy(update={part: await self._secrets.resolve(text) for part, text in named.items()})

    def _check(self, spec: DataSource) -> None:
        for problem in self._allowed.problems(spec):
            raise _refused(problem)


def _refused(problem: Problem) -> Failed:
    return Failed(f"{problem.field} {problem.message}", remedy=problem.remedy, code=problem.code)

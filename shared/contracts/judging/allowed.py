"""Which secrets a tenant's source may name, and which hosts its cloud's tokens may reach: the operator's lists.

Whoever registers a source chooses the host that its secret is sent to. So in a served installation a reference must match one of the
operator's patterns: `vault:secret/{tenant}/*`, where `{tenant}` is the source's tenant, percent-encoded as in keys, and a `*` at the end
stands for anything. Files that a source names by their path count as `file:`, but for the authorities of TLS, which are no secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from shared.contracts.cloud import CloudConfig
from shared.contracts.judging.endpoints import CLOUD_SIGN_INS, LOOPBACK, may_be_told, strange
from shared.contracts.judging.secrecy import REFERENCES, SEPARATOR, is_reference
from shared.contracts.names import encode
from shared.contracts.source import DataSource, Problem

SAFE = ("file:/run/secrets/pursight/{tenant}/*", "local:{tenant}.*")
FILES = ("web_identity_token_file", "federated_token_file")


class Allowed(NamedTuple):
    """The operator's patterns; None: every reference may be named. `endpoints`: hosts besides the clouds' own that a cloud's token may
    reach and where stores may be; None: nobody who knows has said, as in a shell without a stack."""

    patterns: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None

    @classmethod
    def by(cls, mode: str, patterns: tuple[str, ...] | None, endpoints: str = "") -> Allowed:
        """As the settings say: on a laptop all references where nothing is said, and emulators on it. `endpoints`: with commas."""
        listed = tuple(part.strip() for part in endpoints.split(",") if part.strip())
        return cls(SAFE if patterns is None and mode != "local" else patterns, (*LOOPBACK, *listed) if mode == "local" else listed)

    def reaches(self, spec: DataSource, sign_in: str, host: str) -> bool:
        """Whether what `sign_in` gives may go to `host`, which is about to be dialled."""
        return self.endpoints is None or sign_in not in CLOUD_SIGN_INS or may_be_told(spec, host, self.endpoints)

    def permits(self, tenant: str, text: str) -> bool:
        """Whether each of the references in `text`, which are asked in their order, may be named."""
        return self.patterns is None or all(self._one(tenant, part.strip()) for part in text.split(SEPARATOR))

    def _one(self, tenant: str, reference: str) -> bool:
        steps = unquote(reference.partition(":")[2]).split("/")
        if {".", ".."} & set(steps) or "" in steps[1:-1]:  # another way to write a place that a pattern does not name
            return False
        return any(_matches(reference, pattern) for pattern in self._for(tenant))

    def _for(self, tenant: str) -> tuple[str, ...]:
        return tuple(pattern.replace("{tenant}", encode(tenant)) for pattern in self.patterns or ())

    def problems(self, spec: DataSource) -> Iterator[Problem]:
        """Each field of the source that names a secret which its tenant may not name, or a host that its token may not reach."""
        for field in strange(spec, self.endpoints) if self.endpoints is not None else ():
            yield endpoint_refused(field)
        for field, text in named_secrets(spec):
            if not self.permits(spec.tenant, text):
                known = ", ".join(self._for(spec.tenant)) or "nothing"
                yield Problem(
                    field=field,
                    code="secret_not_allowed",
                    message="names a secret that sources of this tenant may not use",
                    remedy=f"Allowed is {known}; the operator decides it (PURSIGHT_SECRETS_ALLOWED).",
                )


ANY = Allowed()


def endpoint_refused(field: str) -> Problem:
    """A cloud's token, or a request that is meant for its store, would go to a stranger."""
    return Problem(
        field=field,
        code="endpoint_not_allowed",
        message="is not one of the cloud's own hosts, and neither its token or signature nor a request for a store goes to others",
        remedy="Use the cloud's own name of it; the operator may list others (PURSIGHT_CLOUD_ENDPOINTS).",
    )


def _matches(reference: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return reference.startswith(pattern[:-1]) and len(reference) >= len(pattern)
    return reference == pattern


def named_secrets(spec: DataSource) -> Iterator[tuple[str, str]]:
    """Field and reference of every secret that a source names."""
    if spec.password_secret:
        yield "password_secret", spec.password_secret
    if spec.cloud_config:
        yield from cloud_secrets(spec.cloud_config)
    for name in ("ca", "cert", "key"):
        text = getattr(spec.ssl_config, name)
        if text and is_reference(text):
            yield f"ssl_config.{name}", text
        elif text and name != "ca":
            yield f"ssl_config.{name}", f"file:{text}"


def cloud_secrets(cloud: CloudConfig) -> Iterator[tuple[str, str]]:
    """The same of `cloud_config` alone."""
    for name in type(cloud).model_fields:
        text = getattr(cloud, name)
        if text and name in REFERENCES:
            yield f"cloud_config.{name}", text
        elif text and name in FILES:
            yield f"cloud_config.{name}", f"file:{text}"

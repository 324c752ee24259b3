"""Which secrets a tenant's source may name: the operator's list, where there is one.

Whoever registers a source chooses the host that its secret is sent to. So in a served installation a reference must match one of the
operator's patterns: `vault:secret/{tenant}/*`, where `{tenant}` is the source's tenant, percent-encoded as in keys, and a `*` at the end
stands for anything. Files that a source names by their path count as `file:`, but for the authorities of TLS, which are no secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from shared.contracts.cloud import CloudConfig
from shared.contracts.judging.secrecy import REFERENCE, REFERENCES
from shared.contracts.names import encode
from shared.contracts.source import DataSource, Problem

SAFE = ("file:/run/secrets/pursight/{tenant}/*", "local:{tenant}.*")
SEPARATOR = " | "
FILES = ("web_identity_token_file", "federated_token_file")


class Allowed(NamedTuple):
    """The operator's patterns; None: every reference may be named."""

    patterns: tuple[str, ...] | None = None

    @classmethod
    def by(cls, mode: str, patterns: tuple[str, ...] | None) -> Allowed:
        """As the settings say: on a laptop all, where nothing is said."""
        return cls(SAFE if patterns is None and mode != "local" else patterns)

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
        """Each field of the source that names a secret which its tenant may not name."""
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
        if text and REFERENCE.fullmatch(text):
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

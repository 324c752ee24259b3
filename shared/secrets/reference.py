"""A secret is named by reference, `scheme:name`; the value itself is never part of a source."""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import UsageError

SCHEMES = ("env", "file", "local", "vault", "aws-sm", "azure-kv", "gcp-sm")


class SecretRef(NamedTuple):
    """Where a secret is: which store, and its name there."""

    scheme: str
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretRef:
        """Raises UsageError, without repeating the text, where it is not a reference: it may be the secret itself."""
        scheme, colon, name = text.partition(":")
        if not colon or scheme not in SCHEMES or not name:
            raise UsageError(
                "a secret must be given by reference",
                why=f"the text does not start with one of {', '.join(f'{known}:' for known in SCHEMES)}",
                remedy="Store it with `pursight secrets set NAME` and use local:NAME, or name an environment variable with env:NAME.",
                code="secret_not_a_reference",
            )
        return cls(scheme, name)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"

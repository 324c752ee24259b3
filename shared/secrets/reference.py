"""A secret is named by reference, `scheme:name`; the value itself is never part of a source.

    env:CRM_PASSWORD                          a variable of the services' environment
    file:/run/secrets/crm                     a file that the services' user may read
    local:crm                                 the secret store of the laptop stack
    vault:secret/crm#password                 HashiCorp Vault, KV version 2: mount/path#field
    aws-sm:prod/crm?stage=AWSPREVIOUS#password    name or ARN, version stage, key of a JSON secret
    azure-kv:my-vault/crm                     vault/name
    gcp-sm:my-project/crm?version=3           project/name

Several references, separated by ` | `, are asked in this order until one has it.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from shared.contracts.judging.secrecy import MOST_REFERENCES, SCHEMES, SEPARATOR
from shared.errors import UsageError


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

    @classmethod
    def chain(cls, text: str) -> tuple[SecretRef, ...]:
        """One reference, or several in the order in which they are asked. Raises as `parse` does."""
        return tuple(cls.parse(part.strip()) for part in text.split(SEPARATOR, MOST_REFERENCES - 1))

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


class Place(NamedTuple):
    """A name in a store that is asked over the network: path, options, and the key of a secret that holds several values."""

    path: str
    options: dict[str, str]
    key: str

    @classmethod
    def parse(cls, name: str) -> Place:
        """`path?option=value#key`.

        >>> Place.parse("prod/crm?stage=AWSPREVIOUS#password")
        Place(path='prod/crm', options={'stage': 'AWSPREVIOUS'}, key='password')
        """
        rest, _, key = name.partition("#")
        path, _, options = rest.partition("?")
        return cls(path, dict(parse_qsl(options)), key)

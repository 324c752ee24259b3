"""Who asks by event: a header that says it, and a seal over the record that proves it.

A broker tells no reader who wrote a record. So a request says it in `ce_actor`, and `ce_actorseal` proves it: our own services seal with a
key made from the token that they share, upstream systems with a private key of theirs (Ed25519) whose public half the operator set. What
carries no seal acts as the upstream at large, with the roles that the operator gave to it; what carries a wrong one may do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.access.actor import Actor

ACTOR, SEAL = "ce_actor", "ce_actorseal"
UPSTREAM = "event:upstream"
OLDEST = timedelta(days=7)  # as long as request topics are kept, and shorter than the inbox remembers what was done
AHEAD = timedelta(minutes=5)
NOBODY = Actor(UPSTREAM)
Headers = Mapping[str, bytes | None]


def text_of(topic: str, key: bytes | None, headers: Headers, body: bytes | None) -> bytes:
    """What is sealed: topic, key, id, time and actor, a line each, then the body's sha256 in hexadecimal."""
    lines = [topic.encode(), key or b"", *(headers.get(name) or b"" for name in ("ce_id", "ce_time", ACTOR))]
    return b"\n".join([*lines, hashlib.sha256(body or b"").hexdigest().encode()])


def signed(private: Ed25519PrivateKey, topic: str, key: bytes | None, headers: Headers, body: bytes | None) -> bytes:
    """The seal of an upstream system, for `ce_actorseal`. `headers` hold `ce_id`, `ce_time`, and its name in `ce_actor`."""
    return base64.b64encode(private.sign(text_of(topic, key, headers, body)))


@dataclass(frozen=True, slots=True)
class Producer:
    """An upstream system that signs. `key` is its public key: base64 of 32 bytes."""

    key: str
    roles: frozenset[str] = frozenset({"service"})
    tenant: str = ""


@dataclass(frozen=True)
class Proofs:
    """Seals what this process asks by event, and reads the seals of others."""

    token: str = field(repr=False)
    producers: Mapping[str, Producer] = field(default_factory=dict)
    upstream: Actor = NOBODY

    def seal(
        self, actor: Actor, topic: str, key: bytes | None, headers: Sequence[tuple[str, bytes]], body: bytes | None
    ) -> list[tuple[str, bytes]]:
        """The two headers with which one of our own services says for whom it asks."""
        said = json.dumps({"id": actor.id, "tenant": actor.tenant, "roles": sorted(actor.roles)}).encode()
        return [(ACTOR, said), (SEAL, self._ours(text_of(topic, key, {**dict(headers), ACTOR: said}, body)))]

    def actor(self, topic: str, key: bytes | None, headers: Headers, body: bytes | None) -> Actor:
        """Who asks. Never raises: a seal that does not hold is somebody who may do nothing."""
        seal = headers.get(SEAL)
        if seal is None:
            return self.upstream
        said, text = headers.get(ACTOR) or b"", text_of(topic, key, headers, body)
        if hmac.compare_digest(seal, self._ours(text)):
            return _read(said)
        name = said.decode("utf-8", "replace")
        producer = self.producers.get(name)
        if producer and _timely(headers) and _verifies(producer.key, seal, text):
            return Actor(f"machine:{name}", producer.tenant, producer.roles)
        return Actor("event:unproven")

    def _ours(self, text: bytes) -> bytes:
        return hmac.new(self.token.encode(), b"event actor\n" + text, hashlib.sha256).hexdigest().encode()


def _read(said: bytes) -> Actor:
    found = json.loads(said)
    return Actor(found["id"], found["tenant"], frozenset(found["roles"]))


def _timely(headers: Headers) -> bool:
    """Is the record of an age at which the inbox would know it, were it a repetition?"""
    try:
        at = datetime.fromisoformat((headers.get("ce_time") or b"").decode())
    except ValueError:
        return False
    now = datetime.now(UTC)
    return bool(headers.get("ce_id")) and at.tzinfo is not None and now - OLDEST < at < now + AHEAD


def _verifies(key: str, seal: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(seal), text)
    except (InvalidSignature, ValueError):
        return False
    return True

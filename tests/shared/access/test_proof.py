"""Who asks by event is believed by a seal over the record, never by its word."""

from __future__ import annotations

import base64
import json
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.access.actor import EVERYWHERE, Actor
from shared.access.proof import ACTOR, OLDEST, SEAL, UPSTREAM, Producer, Proofs, signed
from shared.bus.hear import Hearing
from shared.contracts.topics import BY_NAME

PRIVATE = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
PROOFS = Proofs("t", {"crm": Producer(PUBLIC, tenant="acme")}, Actor(UPSTREAM, EVERYWHERE, frozenset({"service"})))
TOPIC, KEY, BODY = "source.submitted", b"acme/crm", b'{"name":"crm"}'
NOW = datetime.now(UTC)


def by_crm(private: Ed25519PrivateKey = PRIVATE, at: datetime = NOW, **more: bytes) -> dict[str, bytes | None]:
    headers: dict[str, bytes | None] = {"ce_id": b"1", "ce_time": at.isoformat().encode(), ACTOR: b"crm", **more}
    return headers | {SEAL: signed(private, TOPIC, KEY, headers, BODY)}


def test_an_upstream_that_signs_is_who_it_says() -> None:
    """With the roles and the tenant that the operator gave to it."""
    assert PROOFS.actor(TOPIC, KEY, by_crm(), BODY) == Actor("machine:crm", "acme", frozenset({"service"}))


def test_the_example_signs_what_is_believed() -> None:
    """As its file says."""
    sign = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "signed_producer.py"))["signed_headers"]
    pem = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    headers = sign(pem, TOPIC, KEY, BODY)
    assert PROOFS.actor(TOPIC, KEY, dict(headers), BODY).id == "machine:crm"
    assert PROOFS.actor(TOPIC, KEY, dict(headers), BODY + b" ").id == "event:unproven"


def test_without_a_seal_it_is_the_upstream_at_large() -> None:
    """A name alone gives nothing more than to any other."""
    assert PROOFS.actor(TOPIC, KEY, {ACTOR: b"crm"}, BODY) == PROOFS.upstream
    assert Proofs("t").actor(TOPIC, KEY, {}, BODY).roles == frozenset()


@pytest.mark.parametrize(
    "changed",
    [
        {"topic": "source.withdrawn"},
        {"key": b"acme/hr"},
        {"body": b'{"name":"hr"}'},
        {"headers": by_crm() | {"ce_id": b"2"}},
        {"headers": by_crm() | {"ce_time": (NOW + timedelta(seconds=1)).isoformat().encode()}},
        {"headers": by_crm() | {ACTOR: b"hr"}},
        {"headers": by_crm(Ed25519PrivateKey.generate())},
        {"headers": by_crm() | {SEAL: b"\xff"}},
        {"headers": by_crm() | {SEAL: None}, "is_upstream": True},
        {"headers": by_crm(at=NOW - OLDEST)},
        {"headers": by_crm(at=NOW + timedelta(hours=1))},
        {"headers": by_crm(ce_time=b"yesterday")},
        {"headers": {ACTOR: json.dumps({"id": "person:1", "tenant": "*", "roles": ["admin"]}).encode(), SEAL: b"0" * 64}},
    ],
)
def test_a_seal_is_for_this_record_now(changed: dict[str, Any]) -> None:
    """Whatever is changed, repeated too late or made with another key: nobody, who may do nothing."""
    found = PROOFS.actor(changed.get("topic", TOPIC), changed.get("key", KEY), changed.get("headers", by_crm()), changed.get("body", BODY))
    assert found == (PROOFS.upstream if changed.get("is_upstream") else Actor("event:unproven"))


def test_our_own_services_say_for_whom_they_ask() -> None:
    """Who heard it knows; with another stack's token nobody does."""
    eva, headers = Actor("person:1 (eva)", "acme", frozenset({"steward"})), [("ce_id", b"1"), ("ce_time", b"now")]
    sealed = dict(headers + PROOFS.seal(eva, TOPIC, KEY, headers, BODY))
    assert PROOFS.actor(TOPIC, KEY, sealed, BODY) == eva
    assert Proofs("other").actor(TOPIC, KEY, sealed, BODY) == Actor("event:unproven")


def test_what_is_heard_carries_who_asks() -> None:
    """On topics of requests; facts have no actor."""

    def heard(topic: str, body: bytes) -> Any:
        pairs = [(name, value) for name, value in by_crm().items()]
        return Hearing(BY_NAME[topic], believe=PROOFS.actor)(
            ConsumerRecord(topic, 0, 7, 1_700_000_000_000, 0, KEY, body, None, 0, 0, pairs)
        )

    assert heard(TOPIC, BODY).received.actor.id == "machine:crm"
    assert heard("source.removed", b'{"source":"acme/crm","version":1}').received.actor is None

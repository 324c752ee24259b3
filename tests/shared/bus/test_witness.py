"""A witness hears that something was said, and not what."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import ConsumerRecord

from shared.bus.hear import Hearing
from shared.contracts.source import SourceSubmitted
from shared.contracts.topics import BY_NAME


@pytest.mark.parametrize(
    "body", [b'{"password":"hunter2"}', b"{no json", b"\xff\xfe", None], ids=["an object", "no JSON", "no text", "nothing"]
)
def test_no_body_is_poison_to_a_witness_and_none_is_seen(body: bytes | None) -> None:
    """Id, key, time and trace are there, the event is blank; who is to read the body says what is wrong with it."""
    headers: tuple[tuple[str, Any], ...] = (("ce_id", b"r-1"), ("traceparent", b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"))
    record = ConsumerRecord("source.submitted", 0, 7, 1_700_000_000_000, 0, b"acme/crm", body, None, 0, 0, headers)
    heard = Hearing(BY_NAME["source.submitted"], witness=True)(record)
    assert (heard.code, heard.received.tombstone, heard.received.id, heard.received.key) == ("", False, "r-1", "acme/crm")
    assert heard.received.traceparent.startswith("00-" + "ab" * 16)
    assert isinstance(heard.received.event, SourceSubmitted)
    assert "hunter2" not in repr(heard.received)

"""Records on their way out, and back in: without a broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from shared.bus.deadletters import Raw
from shared.bus.hear import Hearing
from shared.bus.outgoing import Composer, fast_event_id, headers_of, key_hash, pack_headers, unpack_headers
from shared.bus.seal import Seal
from shared.contracts.envelope import Envelope, event_id
from shared.contracts.scan import ScanFailed, ScanRequested
from shared.contracts.source import SourceRegistered
from shared.contracts.topics import BY_NAME
from shared.errors import Failed, UsageError

NOW = datetime(2026, 11, 21, 12, 0, 0, 5, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(names, names, names, names, st.integers(0, 1000))
def test_the_fast_id_is_the_contracts_id(service: str, cause: str, topic: str, key: str, ordinal: int) -> None:
    """Two ways to one id."""
    assert fast_event_id(service, cause, topic, key, ordinal) == event_id(service, cause, topic, key, ordinal)


@given(names, names)
def test_the_fast_headers_are_the_envelopes(tenant: str, causation: str) -> None:
    """The same pairs in the same order."""
    envelope = Envelope("i", "scan.failed", "discovery", NOW, tenant, causation, TRACE)
    assert headers_of("discovery", "scan.failed", "i", NOW.isoformat().encode(), tenant, causation, TRACE) == list(envelope.headers())


@given(st.binary(min_size=1, max_size=80), st.integers(1, 40))
def test_the_partition_is_kafkas(key: bytes, count: int) -> None:
    """Any Kafka client would put this key into the same partition."""
    assert key_hash(key) % count == DefaultPartitioner()(key, list(range(count)), [])


@given(st.lists(st.tuples(names, st.binary(max_size=20))))
def test_headers_come_back_byte_for_byte(headers: list[tuple[str, bytes]]) -> None:
    """The outbox keeps headers as they are."""
    assert unpack_headers(pack_headers(headers)) == headers


@given(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9))
def test_a_dead_letter_keeps_the_record(key: bytes | None, body: bytes | None) -> None:
    """Null and empty stay different."""
    raw = Raw(key, (("a", b"\xff"),), body)
    assert Raw.unpack(raw.pack()) == raw


def test_ordinals_make_ids_differ_and_a_second_run_gives_the_same_ids() -> None:
    """Two events of one cause, topic and key have two ids; the same work done again has the same ids."""

    def ids() -> list[str]:
        composer = Composer("discovery", NOW, 0, lambda _: None)
        event = ScanRequested(source="a/b")
        return [composer.say(event, key="a/b", cause="c", parent=TRACE, tenant="a") for _ in range(3)]

    assert len(set(ids())) == 3
    assert ids() == ids()


def test_a_tombstone_needs_a_compacted_topic() -> None:
    """A null body anywhere else would be poison for every reader."""
    composer = Composer("registry", NOW, 0, lambda _: None)
    composer.clear(SourceRegistered, key="a/b", cause="c", parent=TRACE, tenant="a")
    with pytest.raises(ValueError, match="not compacted"):
        composer.clear(ScanFailed, key="a/b", cause="c", parent=TRACE, tenant="a")


def record(value: bytes | None, key: bytes | None = b"acme/crm", headers: Any = (), topic: str = "scan.requested") -> ConsumerRecord:
    return ConsumerRecord(topic, 2, 7, 1_700_000_000_000, 0, key, value, None, 0, 0, tuple(headers))


def test_bare_json_is_accepted_with_an_id_of_its_place() -> None:
    """An upstream without headers and key is heard: type from the topic, id from the place, time from the record."""
    heard = Hearing(BY_NAME["scan.requested"])(record(b'{"source":"acme/crm"}', key=None))
    again = Hearing(BY_NAME["scan.requested"])(record(b'{"source":"acme/crm"}', key=None))
    assert heard.code == ""
    assert heard.received.id == again.received.id
    assert (heard.received.tenant, heard.received.key) == ("default", "")
    assert heard.received.time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_the_tenant_is_the_keys_not_the_headers() -> None:
    """A header cannot lend an event to another tenant."""
    heard = Hearing(BY_NAME["scan.requested"])(record(b'{"source":"acme/crm"}', headers=[("ce_tenant", b"victim")]))
    assert heard.received.tenant == "acme"


@given(
    st.binary(max_size=50) | st.none(),
    st.none() | st.binary(max_size=10),
    st.lists(st.tuples(names, st.none() | st.binary(max_size=30)), max_size=4),
    st.sampled_from(sorted(BY_NAME)),
)
def test_hearing_never_raises(value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]], topic: str) -> None:
    """Whatever bytes come: an event, a tombstone, or a code for why not."""
    odd = [*headers, ("ce_time", b"\xff"), ("traceparent", None), ("ce_id", b"\xfe")]
    heard = Hearing(BY_NAME[topic])(record(value, key, odd, topic))
    assert heard.code or heard.received.tombstone or heard.received.event is not None


def test_why_never_quotes_the_value() -> None:
    """The reason names fields and kinds of problems in our words; what the record held is not repeated."""
    heard = Hearing(BY_NAME["scan.failed"])(record(b'{"source":"hunter2","progress":"4111111111111111"}', topic="scan.failed"))
    assert heard.code == "bad_event"
    assert "hunter2" not in heard.why
    assert "4111" not in heard.why


def test_a_seal_opens_with_any_key_and_only_in_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Keys rotate: the newest seals, the older ones still open. Sealed bytes cannot be moved to another dead letter."""
    old, new = Seal(b"o" * 32), Seal(b"n" * 32, b"o" * 32)
    assert new.open(old.close(b"x", place="a"), place="a") == b"x"
    with pytest.raises(Failed):
        old.open(new.close(b"x", place="a"), place="a")
    with pytest.raises(Failed):
        new.open(new.close(b"x", place="a"), place="b")
    monkeypatch.delenv("PURSIGHT_DEAD_LETTER_KEY", raising=False)
    sealed = Seal.load(tmp_path).close(b"x", place="a")
    assert Seal.load(tmp_path).open(sealed, place="a") == b"x"
    assert (tmp_path / "secrets" / "dead-letters.key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("PURSIGHT_DEAD_LETTER_KEY", "short")
    with pytest.raises(UsageError):
        Seal.load(tmp_path)

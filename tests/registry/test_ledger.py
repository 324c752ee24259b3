"""The audit ledger shows every edit, gap and reorder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.registry.domain.ledger import GENESIS, Entry, chain, first_fault
from shared.contracts.audit import AuditRecorded


def ledger(actors: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    for number, actor in enumerate(actors, 1):
        body = AuditRecorded(tenant="t", actor=actor, action="a", object="o", result="allowed")
        previous = entries[-1].hash if entries else GENESIS
        entries.append(
            Entry(
                number,
                f"2026-01-01T00:00:{number:02}",
                f"e{number}",
                body,
                chain(previous, number, f"2026-01-01T00:00:{number:02}", f"e{number}", body),
            )
        )
    return entries


@given(st.lists(st.text(), max_size=8))
def test_a_ledger_as_written_is_whole(actors: list[str]) -> None:
    """No fault where nobody touched it."""
    assert first_fault(ledger(actors)) is None


@given(st.lists(st.text(), min_size=2, max_size=8), st.data())
def test_a_removed_entry_is_found(actors: list[str], data: st.DataObject) -> None:
    """Taking one out of the middle shows at its place."""
    entries = ledger(actors)
    gone = data.draw(st.integers(0, len(entries) - 2))
    assert first_fault(entries[:gone] + entries[gone + 1 :]) == gone + 1


def test_an_edited_entry_is_found() -> None:
    """Changing who did it breaks the chain there."""
    entries = ledger(["a", "b", "c"])
    forged = entries[1]._replace(body=entries[1].body.model_copy(update={"actor": "x"}))
    assert first_fault([entries[0], forged, entries[2]]) == 2

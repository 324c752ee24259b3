"""The smallest change to a resource, and whose tags are touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.tagger.domain.diff import Diff, diff

KEYS = st.sampled_from([f"k{number}" for number in range(8)])
TAGS = st.dictionaries(KEYS, st.sampled_from("abc"), max_size=8)


def test_only_what_differs_is_written() -> None:
    """New and changed keys are written, equal ones are not, lost causes are removed, others stay."""
    change = diff(
        {"a": "1", "b": "1", "c": "1", "theirs": "x"}, {"a": "1", "b": "2", "d": "1"}, ours={"a": ["1"], "b": ["1"], "c": ["1"]}, most=50
    )
    assert change == Diff(write={"b": "2", "d": "1"}, remove=("c",), kept=1)


def test_a_key_of_others_is_not_overwritten() -> None:
    """Somebody else's value stays and the conflict is told."""
    change = diff({"Owner": "them"}, {"Owner": "us", "Project": "p"}, ours={}, most=50)
    assert (change.write, change.conflicts, change.kept) == ({"Project": "p"}, ("Owner",), 1)


def test_a_changed_value_of_ours_is_restored_while_wanted_and_left_alone_after() -> None:
    """Drift on our key is repaired; a key that somebody took over is not removed."""
    assert diff({"a": "x"}, {"a": "1"}, ours={"a": ["1"]}, most=50).write == {"a": "1"}
    assert diff({"a": "x"}, {}, ours={"a": ["1"]}, most=50).remove == ()


def test_lost_memory() -> None:
    """A resource that says we manage it for this tenant is taken over; one of another tenant is not fought over."""
    current = {"ManagedBy": "pursight", "TenantId": "acme", "Owner": "old"}
    assert diff(current, current | {"Owner": "new"}, ours={}, most=50).write == {"Owner": "new"}
    other = diff(current, current | {"TenantId": "else", "Owner": "new"}, ours={}, most=50)
    assert (other.write, other.conflicts) == ({}, ("TenantId", "Owner"))


def test_the_least_important_are_left_out() -> None:
    """A resource with room for fewer tags keeps the first of ours and all of others; the rest is told."""
    current = {f"theirs{number}": "" for number in range(48)}
    change = diff(current, {"a": "1", "b": "1", "c": "1"}, ours={}, most=50)
    assert (change.write, change.left_out, change.kept) == ({"a": "1", "b": "1"}, ("c",), 48)


@given(TAGS, TAGS, TAGS)
def test_applying_twice_changes_nothing(current: dict[str, str], desired: dict[str, str], ours: dict[str, str]) -> None:
    """After the change the same question has the empty answer, and no tag of others has changed."""
    owned = {key: [value] for key, value in ours.items()}
    first = diff(current, desired, ours=owned, most=50)
    after = {key: value for key, value in (current | first.write).items() if key not in first.remove}
    again = diff(after, desired, ours=owned | {key: [value] for key, value in first.write.items()}, most=50)
    assert again.empty
    assert all(after[key] == value for key, value in current.items() if key not in ours and not (not ours and "ManagedBy" in current))

"""What a caller may send as a body."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.types import Message

from shared.errors import UsageError
from shared.web.body import body_of


def sent(*parts: bytes) -> tuple[Request, list[bytes]]:
    """A request whose body comes in these parts, and those that were not asked for yet."""
    left = list(parts)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive), left


async def test_an_object_in_parts_is_put_together() -> None:
    """However the network cut it."""
    assert await body_of(sent(b'{"a"', b": 1}")[0]) == {"a": 1}


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"\xff", b"[" * 50_000])
async def test_anything_else_is_refused(raw: bytes) -> None:
    """Also what nests deeper than anybody can follow."""
    with pytest.raises(UsageError) as refused:
        await body_of(sent(raw)[0])
    assert refused.value.code == "not_an_object"


@pytest.mark.parametrize("raw", [b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "c": 2, "b": 1}}', b'[{"a": 1, "a": 1}]'])
async def test_a_field_that_is_said_twice_is_refused(raw: bytes) -> None:
    """At any depth: nobody knows which of them was meant."""
    with pytest.raises(UsageError) as refused:
        await body_of(sent(raw)[0])
    assert refused.value.code == "duplicate_field"


async def test_a_body_is_read_no_further_than_it_may_be_long() -> None:
    """The rest stays where it is."""
    request, left = sent(*[b"x" * 1024] * 10)
    with pytest.raises(UsageError) as refused:
        await body_of(request, most_kib=2)
    assert (refused.value.code, len(left)) == ("body_too_large", 7)

"""Who may come in, and where the front door forwards to."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from shared.web.auth import login_link, opens, sealed
from shared.web.door import Forward

TOKEN = "t"


def test_a_seal_opens_for_its_purpose_only() -> None:
    """A link is no session, and another token's seal is nothing."""
    seal = sealed(TOKEN, "session", seconds=60)
    assert opens(TOKEN, "session", seal)
    assert not opens(TOKEN, "link", seal)
    assert not opens("other", "session", seal)
    assert not opens(TOKEN, "session", sealed(TOKEN, "session", seconds=-1))
    assert opens(TOKEN, "link", login_link("http://door", TOKEN, "once").partition("code=")[2])


@pytest.mark.parametrize("seal", ["", "x", "..", "n.9999999999.\u00e9", "n.\u00b2.a", "n." + "9" * 5000 + ".a", "n.-1.a"])
def test_a_made_up_seal_is_refused(seal: str) -> None:
    """Whatever stands in a cookie is an answer of no, never a failure."""
    assert not opens(TOKEN, "session", seal)


async def test_the_door_forwards_to_its_edges_only() -> None:
    """A request line that would name another host behind the edge's address is refused."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/@elsewhere.example/",
        "raw_path": b"%2f@elsewhere.example/",
        "query_string": b"",
        "headers": [],
    }
    answer = await Forward({"catalog": "http://127.0.0.1:1"}).forward(Request(scope))
    assert answer.status_code == 400

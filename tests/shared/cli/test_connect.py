"""Where nothing answers: at once or after a while, and in words that name the address or what became of the stack."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from shared.cli import trace
from shared.cli.connect import Edge, edge, named_as
from shared.errors import Failed, UsageError, did_you_mean
from shared.local.ports import free_ports
from shared.local.state import Home, Part, Pid, State

AT_ONCE_SECONDS = 5.0  # on a busy machine; who is patient waits for 30


@pytest.mark.parametrize("url", ["notaurl", "https://", "ftp://there", "//there:80", "http://there:here"])
def test_what_is_no_address_is_wrong_use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, before anything is asked."""
    monkeypatch.setenv("PURSIGHT_URL", url)
    with pytest.raises(UsageError, match="PURSIGHT_URL is no web address"), edge():
        pass


def test_an_address_elsewhere_where_nothing_listens_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is no reason to wait; a password in the address is not shown."""
    (port,) = free_ports(1)
    monkeypatch.setenv("PURSIGHT_URL", f"http://jo:hidden@127.0.0.1:{port}/there")
    began = time.monotonic()
    with pytest.raises(Failed) as caught, edge() as line:
        line.get("/sources")
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert (
        caught.value.line() == f"nothing answers at http://127.0.0.1:{port}: Connection refused. That address is the one of PURSIGHT_URL."
    )


@pytest.mark.parametrize(("code", "told"), [("not_signed_in", "Set PURSIGHT_TOKEN"), ("token_expired", "its own words")])
def test_a_door_elsewhere_that_stays_shut_is_told_in_words_of_the_shell(code: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a browser or a program signs in helps nobody here; what is wrong with a token does. None is a token that cannot be sent."""
    monkeypatch.setenv("PURSIGHT_URL", "https://there.example")
    monkeypatch.setenv("PURSIGHT_TOKEN", " \n")
    shut = httpx.MockTransport(lambda _: httpx.Response(401, json={"code": code, "title": "no", "remedy": "its own words"}))
    with edge() as line:
        assert "authorization" not in line._http.headers
        line._http = httpx.Client(transport=shut, base_url="https://there.example")
        with pytest.raises(UsageError, match=told):
            line.get("/sources")


@pytest.mark.parametrize("asked", [lambda line: line.get("/sources"), lambda line: line.rest(10.0)], ids=["a question", "between two"])
@pytest.mark.parametrize("later", ["stopping", "gone"])
def test_a_stack_that_was_stopped_meanwhile_is_not_waited_for(
    later: str, asked: Callable[[Edge], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while its parts stop, nor afterwards."""
    (port,) = free_ports(1)
    monkeypatch.delenv("PURSIGHT_URL", raising=False)
    monkeypatch.setenv("PURSIGHT_HOME", str(tmp_path))
    up = State(ports={"door": port}, supervisor=Pid.of(os.getpid()), prepared=True, parts={"door": Part(name="door", port=port)})
    Home(tmp_path).save(up)
    with edge() as line:
        Home(tmp_path).save(up.model_copy(update={"stopping": True} if later == "stopping" else {"supervisor": None}))
        began = time.monotonic()
        with pytest.raises(Failed, match="the stack was stopped") as caught:
            asked(line)
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert caught.value.code == "stopped"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param(lambda: named_as(" "), "the name of the source is missing", id="no source"),
        pytest.param(lambda: trace.show("", json_output=False), "the id of the trace is missing", id="no trace"),
        pytest.param(lambda: trace.show("../sources", json_output=False), "../sources is no trace's id", id="another path"),
    ],
)
def test_what_cannot_be_a_name_is_wrong_use_before_anybody_is_asked(asked: Callable[[], object], words: str) -> None:
    """And the remedy is a command."""
    with pytest.raises(UsageError) as caught:
        asked()
    assert words in caught.value.line()
    assert "`pursight s" in caught.value.line()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param("shop", "Did you mean shop-5432 or shop-eu?", id="the beginning"),
        pytest.param("ordres", "Did you mean orders?", id="mistyped"),
        pytest.param("zzz", "", id="nothing like it"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_name_that_is_not_known_is_told_what_looks_like_it(typed: str, offered: str) -> None:
    """A source that was made from a URL has its port behind its name."""
    assert did_you_mean(typed, ["orders", "shop-5432", "shop-eu"]) == offered

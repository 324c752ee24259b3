"""What a person sees in a browser where a request was refused."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.errors import UsageError
from shared.web.problem_pages import ProblemPages, page_of
from shared.web.problems import HANDLERS

BROWSER = "text/html,application/xhtml+xml"


async def refuse(_: Request) -> Response:
    raise UsageError("<b>", why="no `such\u202e", remedy="Run `pursight status`.", code="refused")


async def document(_: Request) -> Response:
    return JSONResponse({"title": "all is well"})


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/", document), Route("/refused", refuse, methods=["GET", "POST"])], exception_handlers=HANDLERS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(ProblemPages(app)), base_url="http://door")


async def test_a_browser_is_told_in_a_page(http: httpx.AsyncClient) -> None:
    """What, why and what to do, as text; of a form also how to come back to it. The status stays."""
    for method, is_form in (("POST", True), ("GET", False)):
        answer = await http.request(method, "/refused", headers={"accept": BROWSER})
        assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
        assert "<h1>&lt;b&gt;: no `such�</h1><p>Run <code>pursight status</code>.</p>" in answer.text
        assert ("filled in" in answer.text) is is_form
        assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("document", [b"[]", b"null", b"{", b"{}", b'{"title": null}'])
def test_what_tells_nothing_is_a_page_too(document: bytes) -> None:
    assert "<h1>Something went wrong</h1><p><a" in page_of(document, changing=False)


async def test_others_get_the_document(http: httpx.AsyncClient) -> None:
    """Tools, the script of our pages; and what is no problem stays what it is, for browsers too."""
    for headers in ({"accept": "*/*"}, {"accept": BROWSER, "hx-request": "true"}):
        assert (await http.post("/refused", headers=headers)).json()["code"] == "refused"
    assert (await http.get("/", headers={"accept": BROWSER})).json() == {"title": "all is well"}


@pytest.mark.parametrize(
    ("method", "path", "line"),
    [
        ("GET", "/nosuch", "Nothing is at this address. Check its spelling; the pages begin at /."),
        ("DELETE", "/refused", "This address takes no DELETE. It takes GET, HEAD, POST."),
    ],
)
async def test_what_the_framework_refuses_is_told_in_our_words(http: httpx.AsyncClient, method: str, path: str, line: str) -> None:
    """What, and what to do; what a 405 allows stands in its header, too."""
    answer = await http.request(method, path)
    told = answer.json()
    told["remedy"] = told["remedy"].replace(allow := answer.headers.get("allow", ""), ", ".join(sorted(allow.split(", "))))
    assert f"{told['title']}. {told['remedy']}" == line

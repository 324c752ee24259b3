"""How people name a table, and which one they mean. What the catalog finds by such a name is tested there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock, call
from urllib.parse import quote

import pytest

from shared.cli import find
from shared.cli.connect import listed
from shared.cli.find import key_of, table_in
from shared.contracts.names import AssetName
from shared.errors import UsageError

KEY = AssetName("default", "lake", "bucket", "/", "2024\norders.csv").key


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        pytest.param("lake/bucket.2024�orders.csv", "orders.csv", id="as it is shown"),
        pytest.param("2024\norders.CSV", "orders.CSV", id="as it is"),
    ],
)
def test_a_table_is_asked_for_by_its_name(name: str, asked: str) -> None:
    """Not by words of it, of which others may have more; what cannot be shown is left out of the question."""
    line = Mock(get=Mock(return_value={"results": [{"asset": KEY}], "total": 1}))
    assert key_of(line, name) == KEY
    assert line.get.mock_calls == [call("/search", limit=500, source="", named=asked)]


def test_a_name_is_told_however_it_is_written() -> None:
    """As the catalog finds it."""
    key = AssetName("default", "lake", "bucket", "/", "Straße.csv").key
    line = Mock(get=Mock(return_value={"results": [{"asset": key}], "total": 1}))
    assert key_of(line, "bucket.STRASSE.CSV") == key


def test_a_key_is_asked_for_itself() -> None:
    """However many are called alike."""
    line = Mock(get=Mock(return_value={"asset": KEY}))
    assert key_of(line, KEY) == KEY
    assert line.get.mock_calls == [call("/assets/" + quote(KEY, safe=""))]


def test_a_key_without_its_tenant() -> None:
    """As `--json` tells it, less `default/`."""

    def get(path: str, **_: object) -> dict[str, object]:
        if path == "/search":
            return {"results": [], "total": 0}
        if path != "/assets/" + quote(KEY, safe=""):
            raise UsageError("there is no such asset", code="asset_unknown")
        return {"asset": KEY}

    assert key_of(Mock(get=get), KEY.removeprefix("default/")) == KEY


@pytest.mark.parametrize("name", ["orders.csv", "lake/orders.csv"])
def test_more_than_are_looked_at(name: str) -> None:
    """None among those that came is no word on the others."""
    line = Mock(get=Mock(return_value={"results": [{"asset": "default/lake/bucket.%2F.old-orders%2Ecsv"}], "total": 620}))
    with pytest.raises(UsageError, match="too many tables"):
        key_of(line, name)


def test_a_source_and_the_end_of_a_name() -> None:
    """With the tenant or without it, after nothing is found by all of it; nothing else is."""
    found = {"default/lake": KEY, "acme/lake": KEY.replace("default", "acme")}

    def get(path: str, *, source: str = "", **query: object) -> object:
        if path != "/search":
            raise UsageError("No such asset", code="asset_unknown")
        results = [{"asset": found[source]}] if source in found else []
        return {"results": results, "total": len(results)}

    line = Mock(get=get)
    assert key_of(line, "lake/2024�orders.csv") == KEY
    assert key_of(line, "acme/lake/2024�orders.csv") == found["acme/lake"]
    for wrong in ("lake/rders.csv", "other/orders.csv", " "):
        with pytest.raises(UsageError, match="there is no table"):
            key_of(line, wrong)


@pytest.mark.parametrize(("name", "scope"), [("ordres", ""), ("lake/ordres", "default/lake")])
def test_a_table_that_is_not_there_is_told_what_looks_like_it(name: str, scope: str) -> None:
    """By its source, where that is named."""

    def get(path: str, *, source: str = "", **query: object) -> object:
        return {"results": [], "total": 0, "near": ["default/lake/db.sales.orders", "acme/lake/db.sales.orders"] if source == scope else []}

    with pytest.raises(UsageError) as refused:
        key_of(Mock(get=get), name)
    assert refused.value.line() == f"there is no table {name}. Did you mean lake/db.sales.orders or acme/lake/db.sales.orders?"


def catalogue(path: str, **query: object) -> Any:
    """A stack with one source, in which nothing is found."""
    if path.startswith("/sources/") and path != "/sources/default/crm":
        raise UsageError("There is no such source", code="unknown_source")
    return {"results": [], "total": 0, "sources": [{"source": "default/crm"}, {"source": "acme/shop"}]}


@pytest.mark.parametrize("json_output", [False, True])
@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param("crn", "there is no source crn. Did you mean crm?", id="a source"),
        pytest.param("acme/shp", "there is no source acme/shp. Did you mean acme/shop?", id="of a tenant"),
    ],
)
def test_a_search_for_what_there_is_not_at_all(source: str, told: str, json_output: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error is no empty answer."""
    answers(monkeypatch)
    with pytest.raises(UsageError) as refused:
        find.search([], json_output=json_output, limit=5, source=source)
    assert (refused.value.code, refused.value.exit_code, refused.value.line()) == ("unknown_source", 2, told)


@pytest.mark.parametrize(("source", "filters"), [("crm", {"class": "iban"}), ("acme/", {}), ("", {})])
def test_a_search_that_finds_nothing(
    source: str, filters: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what there is, and of a tenant, that is an answer."""
    answers(monkeypatch)
    find.search(["mail"], json_output=False, limit=5, source=source, **filters)
    assert capsys.readouterr().out.startswith("Nothing is found.")


def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def edge() -> Iterator[Mock]:
        yield Mock(get=catalogue)

    monkeypatch.setattr(find, "edge", edge)


def test_a_long_list_comes_page_by_page() -> None:
    """As much as is asked for, and no more than there is; an end that moved meanwhile ends it."""

    def get(path: str, *, limit: int, offset: int = 0) -> dict[str, Any]:
        assert 0 < limit <= 500
        return {"rows": list(range(offset, min(offset + limit, 1100))), "total": 1200}

    line = Mock(get=get)
    for limit, come in ((3, 3), (501, 501), (5000, 1100)):
        assert listed(line, "/rows", "rows", limit=limit) == {"rows": list(range(come)), "total": 1200}


def test_a_part_of_a_scan_is_named_as_people_name_it() -> None:
    """What is known is looked up, files at the root too; what is new is taken as it is written."""
    keys = {
        "orders.csv": [KEY.replace("2024%0A", "")],
        "person": ["default/lake/db.hr.person"],
        "log": ["default/lake/db.a.log", "default/lake/db.b.log"],
    }

    def get(path: str, *, named: str = "", source: str = "", **query: object) -> object:
        assert source == "default/lake"
        found = keys.get(named, [])
        return {"results": [{"asset": key} for key in found], "total": len(found)}

    line = Mock(get=get)
    assert [table_in(line, "lake", name) for name in ("orders.csv", "person", "hr.new")] == ["/.orders.csv", "hr.person", "hr.new"]
    with pytest.raises(UsageError, match="2 tables are called log"):
        table_in(line, "lake", "log")

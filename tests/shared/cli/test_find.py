"""How people name a table, and which one they mean. What the catalog finds by such a name is tested there."""

from __future__ import annotations

from unittest.mock import Mock, call

import pytest

from shared.cli.find import key_of
from shared.contracts.names import AssetName
from shared.errors import UsageError

KEY = AssetName("default", "lake", "bucket", "/", "2024\norders.csv").key


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        pytest.param(KEY, "2024\norders.csv", id="by its key"),
        pytest.param("lake/bucket.2024�orders.csv", "orders.csv", id="as it is shown"),
        pytest.param("2024\norders.CSV", "orders.CSV", id="as it is"),
    ],
)
def test_a_table_is_asked_for_by_its_name(name: str, asked: str) -> None:
    """Not by words of it, of which others may have more; what cannot be shown is left out of the question."""
    line = Mock(get=Mock(return_value={"results": [{"asset": KEY}]}))
    assert key_of(line, name) == KEY
    assert line.get.mock_calls == [call("/search", limit=500, source="", named=asked)]


def test_a_source_and_the_end_of_a_name() -> None:
    """With the tenant or without it, after nothing is found by all of it; nothing else is."""
    found = {"default/lake": KEY, "acme/lake": KEY.replace("default", "acme")}
    line = Mock(get=lambda path, *, source, **query: {"results": [{"asset": found[source]}] if source in found else []})
    assert key_of(line, "lake/2024�orders.csv") == KEY
    assert key_of(line, "acme/lake/2024�orders.csv") == found["acme/lake"]
    for wrong in ("lake/rders.csv", "other/orders.csv", " "):
        with pytest.raises(UsageError, match="there is no table"):
            key_of(line, wrong)

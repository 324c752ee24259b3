"""One issuer for the tests of who may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.shared.access.issuer import Issuer, issuing


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        made.new_key("one")
        yield made

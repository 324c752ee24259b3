"""The shipped rules, loaded once, and a classifier on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.classifier import app
from services.classifier.domain.model import Model
from services.classifier.domain.rulesets import Ruleset
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import load_model, load_ruleset
from shared.bus.migrations import FOLDER as BUS_MIGRATIONS
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from tests.classifier.house import House


@pytest.fixture(scope="session")
def ruleset() -> Ruleset:
    """The rule set as it ships."""
    return load_ruleset()


@pytest.fixture(scope="session")
def judge(ruleset: Ruleset) -> Judge:
    """A judge with the shipped rules and thresholds."""
    return Judge(ruleset, Thresholds())


@pytest.fixture(scope="session")
def model() -> Model:
    """The model as it ships."""
    found = load_model(Path("/nowhere"))
    assert found is not None
    return found


@pytest.fixture(scope="session")
def both(judge: Judge, model: Model) -> Judge:
    """Tiers 1 and 2."""
    return Judge(judge.ruleset, Thresholds(), model)


@pytest.fixture
async def house(fresh_database_url: str, judge: Judge) -> AsyncIterator[House]:
    """A classifier with a schema of its own."""
    pool = await open_pool(fresh_database_url, schema="classifier", application_name="test")
    await migrate(pool, schema="classifier", folders=[BUS_MIGRATIONS, app.service.migrations])
    yield House(pool, judge)
    await pool.close()

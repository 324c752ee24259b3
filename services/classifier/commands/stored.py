"""What both groups of commands read: the rules and the model in force, and what the last scans found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.classifier.domain.rulefile import RuleFile
from services.classifier.domain.tables import Judge
from services.classifier.gateway.packs import judge_of, load_ruleset
from services.classifier.settings import ClassifierSettings
from services.classifier.store import SERVICE, Store
from shared.cli.parts import database_url
from shared.contracts.asset import SchemaDiscovered
from shared.db.pool import open_pool

CHUNK = 500


def in_force(over: RuleFile | None = None) -> Judge:
    """The judge that these settings give, with the rules of a file over the others."""
    settings = ClassifierSettings()
    return judge_of(load_ruleset(settings.rules_folder, over=over), settings.rules_folder, settings.limits)


@asynccontextmanager
async def open_store() -> AsyncIterator[Store]:
    """The classifier's state. Raises UsageError where neither the environment nor a running stack says where it is."""
    pool = await open_pool(database_url(), schema=SERVICE, application_name="pursight rules")
    try:
        yield Store(pool)
    finally:
        await pool.close()


async def all_tables(store: Store) -> AsyncIterator[list[SchemaDiscovered]]:
    """All tables as they were last heard, some hundred at a time."""
    after = ""
    while tables := await store.tables(after, CHUNK):
        yield tables
        after = tables[-1].asset

"""The classifier's wiring."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg

from services.classifier import api, handlers
from services.classifier.gateway import sentences
from services.classifier.gateway.packs import judge_of, load_ruleset
from services.classifier.handlers import Classifier, Third
from services.classifier.settings import ClassifierSettings
from services.classifier.store import Store
from services.classifier.store.meanings import meanings_of
from shared.bus.jobs import work
from shared.bus.received import Cause
from shared.contracts.asset import AssetRemoved, ClassificationReviewed, SchemaDiscovered
from shared.contracts.rules import ContractPublished
from shared.contracts.source import SourceRemoved
from shared.errors import UsageError
from shared.service import Service, ServiceContext

log = logging.getLogger(__name__)
LOOK_SECONDS = 3.0  # between looks at the folder of rules


async def third_of(pool: asyncpg.Pool, settings: ClassifierSettings) -> Third:
    """Tier 3. Raises UsageError, with what is missing, where its parts are not all there."""
    folder = settings.sentence_model or sentences.installed()
    if why := sentences.missing(folder):
        raise UsageError("tier 3 is off", why=why, remedy=sentences.REMEDY, code="extra_missing")
    assert folder is not None
    return Third(await meanings_of(pool, sentences.MODEL), sentences.Sentences(folder, settings.home / "models"))


@asynccontextmanager
async def wire(context: ServiceContext[ClassifierSettings]) -> AsyncIterator[None]:
    """Handlers, jobs, routes, and the rule set said where it is new."""
    settings = context.settings
    third, off = None, ""
    try:
        third = await third_of(context.pool, settings)
    except UsageError as error:
        off = str(error)
        log.info("tier3.off", extra={"reason": off, "error_code": error.code})
    judge = judge_of(load_ruleset(settings.rules_folder), settings.rules_folder, settings.limits, third=third is not None)
    classifier = Classifier(Store(context.pool), judge, context.jobs, context.bus.offload, third)
    context.bus.on(SchemaDiscovered, partial(handlers.on_schema_discovered, classifier=classifier), batch=500)
    context.bus.on(AssetRemoved, partial(handlers.on_asset_removed, classifier=classifier))
    context.bus.on(SourceRemoved, partial(handlers.on_source_removed, classifier=classifier), batch=100)
    context.bus.on(ClassificationReviewed, partial(handlers.on_classification_reviewed, classifier=classifier, gate=context.gate), batch=50)
    context.bus.on(ContractPublished, partial(handlers.on_contract_published, classifier=classifier), batch=10)
    for kind, work_of in handlers.JOBS.items():
        context.spawn(partial(work, context.jobs, kind, partial(work_of, classifier=classifier), concurrency=1))
    context.every(LOOK_SECONDS, Reload(classifier, settings))
    context.routes += api.routes(classifier.store, lambda: classifier.judge, context.proofs, off)
    await announce(classifier)
    yield


class Reload:
    """Takes up rules and models of the folder when they change, without a restart. What cannot be read is told once; what held holds."""

    def __init__(self, classifier: Classifier, settings: ClassifierSettings) -> None:
        self._classifier, self._settings = classifier, settings
        self._seen = self._look()

    async def __call__(self) -> None:
        if (found := self._look()) == self._seen:
            return
        self._seen = found
        try:
            folder, third = self._settings.rules_folder, self._classifier.third is not None
            judge = judge_of(load_ruleset(folder), folder, self._settings.limits, third=third)
        except UsageError as error:
            log.error("rules.unreadable", extra={"reason": str(error), "error_code": error.code})
            return
        if judge.mark != self._classifier.judge.mark:
            self._classifier.judge = judge
            await announce(self._classifier)

    def _look(self) -> tuple[tuple[str, int, int], ...]:
        folder = self._settings.rules_folder
        files = sorted(path for path in folder.glob("*") if not path.name.startswith(".")) if folder.is_dir() else []
        told = ((path.name, path.stat()) for path in files if path.is_file())
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in told)


async def announce(classifier: Classifier) -> None:
    """Say the rule set if it changed since it was said last, and judge again what other rules or another model judged."""
    judge = classifier.judge
    async with classifier.store.unit(keys=["ruleset"]) as unit:
        await unit.publish(judge.ruleset.published(), Cause.new(f"ruleset/{judge.ruleset.digest}"))
    if await classifier.store.stale(judge.mark, "", 1):
        async with classifier.store.unit() as unit:
            await classifier.jobs.enqueue(unit.bus.connection, handlers.REJUDGE, handlers.EVERYTHING, judge.mark)


service = Service("classifier", wire, ClassifierSettings, Path(__file__).parent / "migrations")

"""The classifier's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import yaml

from services.classifier import api, handlers
from services.classifier.domain.rulesets import PACKS, Ruleset, ruleset_from
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.handlers import Classifier
from services.classifier.settings import ClassifierSettings
from services.classifier.store import Store
from shared.bus.jobs import work
from shared.bus.received import Cause
from shared.contracts.asset import AssetRemoved, ClassificationReviewed, SchemaDiscovered
from shared.contracts.source import SourceRemoved
from shared.errors import UsageError
from shared.service import Service, ServiceContext

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe both, ten times as fast, where the C library is there
FOLDER = Path(__file__).parent / "domain" / "packs"


def load_ruleset(extra: Path | None = None) -> Ruleset:
    """The shipped packs, those of `extra` in their place. Raises UsageError where they do not fit together."""
    found = {pack: extra / f"{pack}.yaml" if extra and (extra / f"{pack}.yaml").is_file() else FOLDER / f"{pack}.yaml" for pack in PACKS}
    try:
        return ruleset_from({pack: yaml.load(path.read_bytes(), _LOADER) for pack, path in found.items()})  # noqa: S506
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise UsageError("the rule packs do not fit together", why=reason, remedy="Correct the pack.", code="invalid_rules") from error


@asynccontextmanager
async def wire(context: ServiceContext[ClassifierSettings]) -> AsyncIterator[None]:
    """Handlers, jobs, routes, and the rule set said where it is new."""
    settings = context.settings
    thresholds = Thresholds(settings.classify_threshold, min(settings.abstain_threshold, settings.classify_threshold))
    judge = Judge(load_ruleset(settings.rule_packs), thresholds)
    classifier = Classifier(Store(context.pool), judge, context.jobs, context.bus.offload)
    context.bus.on(SchemaDiscovered, partial(handlers.on_schema_discovered, classifier=classifier))
    context.bus.on(AssetRemoved, partial(handlers.on_asset_removed, classifier=classifier))
    context.bus.on(SourceRemoved, partial(handlers.on_source_removed, classifier=classifier), batch=100)
    context.bus.on(ClassificationReviewed, partial(handlers.on_classification_reviewed, classifier=classifier, gate=context.gate), batch=50)
    context.spawn(partial(work, context.jobs, handlers.REJUDGE, partial(handlers.rejudge, classifier=classifier), concurrency=1))
    context.spawn(partial(work, context.jobs, handlers.FORGET, partial(handlers.forget, classifier=classifier), concurrency=1))
    context.routes += api.routes(classifier.store, judge.ruleset, context.proofs)
    await announce(classifier)
    yield


async def announce(classifier: Classifier) -> None:
    """Say the rule set if it changed since it was said last, and judge again what older rules judged."""
    ruleset = classifier.judge.ruleset
    async with classifier.store.unit(keys=["ruleset"]) as unit:
        await unit.publish(ruleset.published(), Cause.new(f"ruleset/{ruleset.digest}"))
    if await classifier.store.stale(classifier.judge.mark, "", 1):
        async with classifier.store.unit() as unit:
            await classifier.jobs.enqueue(unit.bus.connection, handlers.REJUDGE, handlers.EVERYTHING, classifier.judge.mark)


service = Service("classifier", wire, ClassifierSettings, Path(__file__).parent / "migrations")

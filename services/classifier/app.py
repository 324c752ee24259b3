"""The classifier's wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services.classifier import api, handlers
from services.classifier.domain.rulefile import RuleFile, laid_over
from services.classifier.domain.rulesets import NAME, PACKS, Ruleset, ruleset_from
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
RULES = ".rules.yaml"  # files of this ending are laid over the packs
FOLDER = Path(__file__).parent / "domain" / "packs"


def load_ruleset(extra: Path | None = None, *, over: RuleFile | None = None) -> Ruleset:
    """The shipped packs, those of `extra` in their place; over them its rule files, by name, and `over`.

    Raises UsageError where they do not fit together.
    """
    found = {pack: extra / f"{pack}.yaml" if extra and (extra / f"{pack}.yaml").is_file() else FOLDER / f"{pack}.yaml" for pack in PACKS}
    files = [read_rules(path) for path in sorted(extra.glob(f"*{RULES}"))] if extra else []
    name = NAME
    try:
        documents: Mapping[str, Any] = {pack: _parsed(path) for pack, path in found.items()}
        for file in [*files, *([over] if over else [])]:
            documents, name = laid_over(documents, file), file.name
        return ruleset_from(documents, name=name)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise UsageError("the rule packs do not fit together", why=reason, remedy="Correct the pack.", code="invalid_rules") from error


def read_rules(path: Path) -> RuleFile:
    """A rule file. Raises UsageError, by field, where it is none."""
    try:
        return RuleFile.model_validate(_parsed(path))
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UsageError(
            f"{path.name} is no rule set", why=why, remedy="See the README, Rules of your own.", code="invalid_rules"
        ) from error
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path.name} cannot be read", why=type(error).__name__, code="invalid_rules") from error


def _parsed(path: Path) -> Any:
    return yaml.load(path.read_bytes(), _LOADER)  # noqa: S506


def thresholds_of(ruleset: Ruleset, settings: ClassifierSettings) -> Thresholds:
    """Those of the settings, unless the rule set has its own."""
    classify = ruleset.thresholds.get("classify", settings.classify_threshold)
    return Thresholds(classify, min(ruleset.thresholds.get("abstain", settings.abstain_threshold), classify))


@asynccontextmanager
async def wire(context: ServiceContext[ClassifierSettings]) -> AsyncIterator[None]:
    """Handlers, jobs, routes, and the rule set said where it is new."""
    settings = context.settings
    ruleset = load_ruleset(settings.rule_packs)
    judge = Judge(ruleset, thresholds_of(ruleset, settings))
    classifier = Classifier(Store(context.pool), judge, context.jobs, context.bus.offload)
    context.bus.on(SchemaDiscovered, partial(handlers.on_schema_discovered, classifier=classifier), batch=500)
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

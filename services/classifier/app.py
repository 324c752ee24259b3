"""The classifier's wiring."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import asyncpg
import numpy as np
import yaml
from pydantic import ValidationError

from services.classifier import api, handlers
from services.classifier.domain.meaning import Descriptions, descriptions_from
from services.classifier.domain.model import Model, model_from
from services.classifier.domain.rulefile import RuleFile, laid_over
from services.classifier.domain.rulesets import NAME, PACKS, Ruleset, ruleset_from
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway import sentences
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
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe both, ten times as fast, where the C library is there
LOOK_SECONDS = 3.0  # between looks at the folder of rules
MODEL = "model.npz"
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
            f"{path.name} is no rule set", why=why, remedy="See the README, Labels, and rules of your own.", code="invalid_rules"
        ) from error
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path.name} cannot be read", why=type(error).__name__, code="invalid_rules") from error


def _parsed(path: Path) -> Any:
    return yaml.load(path.read_bytes(), _LOADER)  # noqa: S506


def thresholds_of(ruleset: Ruleset, settings: ClassifierSettings) -> Thresholds:
    """Those of the settings, unless the rule set has its own."""
    return Thresholds.by(ruleset.thresholds, Thresholds(settings.classify_threshold, settings.abstain_threshold))


def load_model(folder: Path) -> Model | None:
    """The model of this folder, else the one that ships. Raises UsageError where the folder's is none."""
    own = folder / MODEL
    path = own if own.is_file() else FOLDER / MODEL
    if not path.is_file():
        return None
    try:
        return read_model(path.read_bytes())
    except (ValueError, KeyError, TypeError, OSError, BadZipFile) as error:
        remedy = "Train it again, or put the one before in place: pursight classifier rollback."
        raise UsageError(f"{path} is no model", why=type(error).__name__, remedy=remedy, code="invalid_model") from error


def read_model(body: bytes) -> Model:
    """The model in a file of plain arrays; a file with pickles is refused. Raises what NumPy raises of a broken file."""
    with np.load(BytesIO(body), allow_pickle=False) as file:
        return model_from(dict(file), sha256(body).hexdigest())


def load_descriptions(ruleset: Ruleset) -> Descriptions:
    """What the classes of these rules are called in other words."""
    return descriptions_from(_parsed(FOLDER / "meanings.yaml"), ruleset.taxonomy)


def judge_of(ruleset: Ruleset, settings: ClassifierSettings, *, third: bool = False) -> Judge:
    """Tier 1 by these rules, tier 2 by the model in force; with `third` what they leave open is told, for tier 3."""
    descriptions = load_descriptions(ruleset) if third else ()
    return Judge(ruleset, thresholds_of(ruleset, settings), load_model(settings.rules_folder), descriptions)


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
    judge = judge_of(load_ruleset(settings.rules_folder), settings, third=third is not None)
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
            third = self._classifier.third is not None
            judge = judge_of(load_ruleset(self._settings.rules_folder), self._settings, third=third)
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

"""Rules, descriptions and the model, out of the files that ship and those of a folder of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import yaml
from pydantic import ValidationError

from services.classifier.domain.meaning import Descriptions, descriptions_from
from services.classifier.domain.model import Model, model_from
from services.classifier.domain.rulefile import RuleFile, laid_over
from services.classifier.domain.rulesets import NAME, PACKS, Ruleset, ruleset_from
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from shared.errors import UsageError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe both, ten times as fast, where the C library is there
MODEL = "model.npz"
RULES = ".rules.yaml"  # files of this ending are laid over the packs
FOLDER = Path(__file__).parents[1] / "domain" / "packs"


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


def judge_of(ruleset: Ruleset, folder: Path, limits: Thresholds, *, third: bool = False) -> Judge:
    """Tier 1 by these rules, tier 2 by the model in force; with `third` what they leave open is told, for tier 3.

    `limits` hold where the rule set has none of its own.
    """
    descriptions = load_descriptions(ruleset) if third else ()
    return Judge(ruleset, Thresholds.by(ruleset.thresholds, limits), load_model(folder), descriptions)

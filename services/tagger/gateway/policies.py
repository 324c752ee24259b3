"""The file of the operator's tag policy.

CostCenter: [data-engineering, "team-*"]   # must be there, with one of these values
Project: []                                # must be there
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from services.tagger.domain.policy import Policy
from services.tagger.domain.vocabulary import known_key
from shared.errors import UsageError

_FORM = TypeAdapter(dict[str, tuple[str, ...]])


def load_policy(path: str) -> Policy:
    """Empty without a file. Raises UsageError where it is wrong."""
    if not path:
        return {}
    try:
        given = _FORM.validate_python(yaml.safe_load(Path(path).read_text("utf-8")) or {})
    except (OSError, ValueError, yaml.YAMLError, ValidationError) as error:
        raise UsageError(
            f"PURSIGHT_TAG_POLICY: {path} cannot be used",
            why=type(error).__name__,
            remedy="It has a line for each tag: its key, and a list of the values that it may have.",
            code="settings_wrong",
        ) from None
    return {known_key(key) or key: patterns for key, patterns in given.items()}

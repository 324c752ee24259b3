"""The standard's own JSON Schema, as its package ships it: where does a contract break it? Loaded when the first contract comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Validator
    from jsonschema.exceptions import ValidationError

PATH = tuple[str | int, ...]
MOST = 100  # findings of one contract


def shape(contract: dict[str, Any]) -> Iterator[tuple[PATH, str, str]]:
    """Each place that breaks the schema: path, code, and a message that repeats no value."""
    found = [_deepest(error) for error in islice(_validator().iter_errors(contract), MOST)]
    for error in found:
        if error.validator != "unevaluatedProperties" or not _explained(error, found):
            yield from _told(error)


def _explained(error: ValidationError, found: list[ValidationError]) -> bool:
    """Where one part is wrong, the standard's schema calls its neighbours unknown too."""
    path = list(error.absolute_path)
    return any(len(other.absolute_path) > len(path) and list(other.absolute_path)[: len(path)] == path for other in found)


@cache
def _validator() -> Validator:
    from jsonschema import Draft201909Validator

    return Draft201909Validator(json.loads((files("open_data_contract_standard") / "schema.json").read_text("utf-8")))


def _deepest(error: ValidationError) -> ValidationError:
    """Of several alternatives the finding that lies deepest: what was meant most likely."""
    from jsonschema.exceptions import best_match

    return best_match([error]) or error


def _told(error: ValidationError) -> Iterator[tuple[PATH, str, str]]:
    path = tuple(error.absolute_path)
    given: Any = error.instance
    if error.validator == "required":
        yield from (((*path, name), "missing", "is required") for name in error.validator_value if name not in given)
    elif error.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(given, dict):
        unknown = [key for key in given if repr(key) in error.message]
        yield from (((*path, key), "unknown_field", "is not a field of ODCS here") for key in unknown)
    else:
        yield path, "invalid", _words(str(error.validator), error.validator_value)


def _words(validator: str, wanted: Any) -> str:
    if validator == "type":
        return f"is not of the type {wanted if isinstance(wanted, str) else ' or '.join(wanted)}"
    if validator == "enum":
        return f"is not one of: {', '.join(map(str, wanted))}"
    return f"does not fit the standard ({validator})"

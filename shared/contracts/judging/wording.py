"""What is wrong with a field or a text, in our words: what pydantic, YAML and JSON find, by its kind. What was given is never repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOT = {  # by the beginning of pydantic's kind of finding
    "int": "is not a whole number",
    "float": "is not a number",
    "finite": "is not a number",
    "bool": "is neither true nor false",
    "string_type": "is not text",
    "string_sub": "is not text",
    "string_unicode": "is not text",
    "dict": "is not a block of fields",
    "model": "is not a block of fields",
    "mapping": "is not a block of fields",
    "tuple": "is not a list",
    "list": "is not a list",
    "union": "is not a block of fields",
    "missing": "is missing",
    "extra": "is no field that is known here",
}
_BEYOND = {
    "greater_than_equal": "is less than {:g}",
    "greater_than": "is not more than {:g}",
    "less_than_equal": "is more than {:g}",
    "less_than": "is not less than {:g}",
    "string_too_long": "is longer than {:g} characters",
    "string_too_short": "is shorter than {:g} characters",
    "too_long": "has more than {:g} entries",
}
HELPS = {
    "is not text": "Put it in quotes.",
    "is neither true nor false": "Write true or false.",
    "is not a list": "Write it in brackets, such as [a, b].",
    "is not a block of fields": "Write fields below it, each on a line of its own.",
}
"""What helps, by what is wrong."""
_MISREAD = {  # by a piece of what the parsers of YAML say; the rest of their words may quote the text
    "mapping values": "a colon too many in this line, or an indentation that does not fit; put a value with a colon in quotes",
    "cannot start any token": "a value may not begin with this character (@, %, a tab); put it in quotes, and indent by spaces",
    "undefined alias": "a * that names nothing; put the value in quotes",
    "constructor": "a tag (!) that is not understood",
    "end of stream": "a quote that begins here, or above, is not closed",
    "',' or": "a bracket is not closed, or a comma is missing",
    "expected ':'": "a field without a colon",
    "block end": "an indentation that does not fit the lines above",
    "expected key": "an indentation that does not fit the lines above",
}


def misread(error: Exception) -> str:
    """Where and why a text is no YAML (`yaml.YAMLError`) or no JSON (`json.JSONDecodeError`); nothing of the text is in it.

    >>> import json
    >>> try: json.loads('{"a": 1,')
    ... except ValueError as error: misread(error)
    'line 1, column 9: expecting property name enclosed in double quotes'
    """
    if hasattr(error, "colno"):
        return f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"  # type: ignore[attr-defined]
    mark, problem = getattr(error, "problem_mark", None), str(getattr(error, "problem", None) or "")
    told = next((words for piece, words in _MISREAD.items() if piece in problem), "it is not in the form of YAML")
    return f"line {mark.line + 1}, column {mark.column + 1}: {told}" if mark else "it holds characters that no text has"


def in_words(found: Mapping[str, Any]) -> str:
    """What a field is not. `found` is one of `ValidationError.errors()`; what our own validators say stays as it is.

    >>> in_words({"type": "int_parsing", "msg": "…"}), in_words({"type": "less_than_equal", "msg": "…", "ctx": {"le": 64}})
    ('is not a whole number', 'is more than 64')
    """
    kind, limits = str(found["type"]), found.get("ctx", {})
    if kind == "value_error":
        return str(found["msg"]).removeprefix("Value error, ").lower()
    if kind == "string_pattern_mismatch":
        return f"does not have the form {limits['pattern']}"
    if kind == "literal_error":
        return f"is not one of: {limits['expected']}"
    for begin, told in _NOT.items():
        if kind.startswith(begin):
            return told
    bound = next((limits[name] for name in ("ge", "gt", "le", "lt", "max_length", "min_length") if name in limits), 0)
    return _BEYOND.get(kind, "cannot be used here").format(bound)

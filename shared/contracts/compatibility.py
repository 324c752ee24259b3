"""Can a reader that knows one schema read what a writer that knows the other writes? Both ways, structurally.

Facts leave defaults out and readers ignore what they do not know, so adding an optional field is safe in both directions;
a new required field, a changed type, a closed enum that lost or gained a word, or a tighter bound is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """Why the change from `old` to `new` breaks somebody; empty where it breaks nobody."""
    forward = [f"new readers, old events: {text}" for text in _breaks(new, old, new, old, "")]
    backward = [f"old readers, new events: {text}" for text in _breaks(old, new, old, new, "")]
    return [*forward, *backward]


def _resolve(node: Schema, root: Schema) -> Schema:
    while ref := node.get("$ref"):
        node = root["$defs"][ref.rsplit("/", 1)[1]]
    return node


def _breaks(reader: Schema, writer: Schema, reader_root: Schema, writer_root: Schema, path: str, depth: int = 0) -> Iterator[str]:
    reader, writer = _resolve(reader, reader_root), _resolve(writer, writer_root)
    if depth > 12:
        return
    if "anyOf" in writer or "oneOf" in writer or "anyOf" in reader or "oneOf" in reader:
        yield from _alternatives(reader, writer, reader_root, writer_root, path, depth)
        return
    if reader.get("type") not in (None, writer.get("type")) and (reader.get("type"), writer.get("type")) != ("number", "integer"):
        yield f"{path or 'the event'} changed from {writer.get('type')} to {reader.get('type')}"
        return
    yield from _words(reader, writer, path)
    yield from _bounds(reader, writer, path)
    yield from _members(reader, writer, reader_root, writer_root, path, depth)


def _options(node: Schema) -> list[Schema]:
    return list(node.get("anyOf") or node.get("oneOf") or [node])


def _alternatives(reader: Schema, writer: Schema, reader_root: Schema, writer_root: Schema, path: str, depth: int) -> Iterator[str]:
    for option in _options(writer):
        if all(any(_breaks(taken, option, reader_root, writer_root, path, depth + 1)) for taken in _options(reader)):
            yield f"{path}: an alternative is no longer read"


def _words(reader: Schema, writer: Schema, path: str) -> Iterator[str]:
    known = _closed(reader)
    if known is not None and not (written := _closed(writer) or {"(any)"}) <= known:
        yield f"{path} may hold {sorted(written - known)}, which is not read"


def _closed(node: Schema) -> set[Any] | None:
    if "const" in node:
        return {node["const"]}
    return set(node["enum"]) if "enum" in node else None


def _bounds(reader: Schema, writer: Schema, path: str) -> Iterator[str]:
    for name in LOWER_BOUNDS:
        if name in reader and reader[name] > writer.get(name, float("-inf")):
            yield f"{path} has a tighter {name}"
    for name in UPPER_BOUNDS:
        if name in reader and reader[name] < writer.get(name, float("inf")):
            yield f"{path} has a tighter {name}"
    if reader.get("pattern", writer.get("pattern")) != writer.get("pattern"):
        yield f"{path} has another pattern"


def _members(reader: Schema, writer: Schema, reader_root: Schema, writer_root: Schema, path: str, depth: int) -> Iterator[str]:
    known, written = reader.get("properties", {}), writer.get("properties", {})
    for name in sorted(set(reader.get("required", ())) - set(writer.get("required", ()))):
        yield f"{path}.{name}".lstrip(".") + " is required but not always written"
    for name in known.keys() & written.keys():
        yield from _breaks(known[name], written[name], reader_root, writer_root, f"{path}.{name}".lstrip("."), depth + 1)
    for part in ("items", "additionalProperties"):
        if isinstance(reader.get(part), dict) and isinstance(writer.get(part), dict):
            yield from _breaks(reader[part], writer[part], reader_root, writer_root, f"{path}[]", depth + 1)

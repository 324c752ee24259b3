"""A document from a file or standard input, and on which line each of its fields stands."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shared.contracts.judging.wording import misread
from shared.errors import UsageError

KINDS = {  # with fields that tell one from the others, and the command that takes it
    "job": ({"source_connector", "target_connector", "asset", "asset_path", "infrastructure"}, "pursight run --config"),
    "source": ({"engine", "host", "port", "username", "password_secret", "location", "cloud_config"}, "pursight source check"),
    "contract": ({"apiVersion", "kind", "dataProduct", "domain", "schema", "servers", "team", "slaProperties"}, "pursight contract lint"),
    "rule set": ({"words", "names", "patterns", "detectors", "classes", "tests"}, "pursight rules test"),
}
MAX_BYTES, MAX_NODES, MAX_DEPTH = 1024 * 1024, 20_000, 100


@dataclass(frozen=True, slots=True)
class Written:
    """A document as somebody wrote it. `lines` has the line of each field; `password` came beside it and is no part of it."""

    name: str
    document: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)

    def line_of(self, path: str) -> int | None:
        """The line of a field, or of what holds it; None where the document does not have it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


def read_file(which: str, *, kind: str = "", most_nodes: int = MAX_NODES) -> Written:
    """The document in a YAML or JSON file, or `-`. Raises UsageError, also where it is plainly of another kind than `kind`."""
    found = written("standard input" if which == "-" else which, _text(which), most_nodes=most_nodes)
    held = {name: len(fields & found.document.keys()) for name, (fields, _) in KINDS.items()}
    likely = max(held, key=lambda name: held[name])
    if kind and held[likely] > max(1, held[kind]):
        raise UsageError(
            f"{found.name} is a {likely}, and no {kind}",
            remedy=f"Give it to `{KINDS[likely][1]} {which}`.",
            code=f"{kind.split()[0]}_rejected",
        )
    return found


def _text(which: str) -> str:
    try:
        raw = sys.stdin.buffer.read(MAX_BYTES + 1) if which == "-" else _bytes(Path(which))
        if len(raw) > MAX_BYTES:
            raise UsageError(f"{which} is too large", why=f"more than {MAX_BYTES} bytes", code="too_large")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{which} is not text in UTF-8", remedy="Save it as UTF-8.", code="unreadable") from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", "") or "").lower()
        remedy = "Name a file in it." if isinstance(error, IsADirectoryError) else "Check its name."
        raise UsageError(f"{which} cannot be read", why=why, remedy=remedy, code="unreadable") from None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def written(name: str, text: str, *, most_nodes: int = MAX_NODES) -> Written:
    """The document in `text`. Raises UsageError, with the line where there is one, where it is no single object without doubles."""
    like_json = text.lstrip().startswith("{")
    try:
        node = yaml.compose(text.replace("\t", " ") if like_json else text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f"{name} holds no object", remedy="Write fields, such as name: orders.", code="not_an_object")
        lines = _lines(name, node, most_nodes)
        document = _json(text) if like_json else None
        return Written(name, json.loads(json.dumps(yaml.safe_load(text) if document is None else document, default=str)), lines)
    except RecursionError:
        raise _too_large(name) from None
    except (yaml.YAMLError, ValueError) as error:
        fault = (_fault_of_json(text) if like_json else None) or error
        raise UsageError(f"{name} is neither YAML nor JSON", why=misread(fault), remedy="Correct that line.", code="unreadable") from None


def _too_large(name: str) -> UsageError:
    return UsageError(f"{name} is too large", why="it has too many parts, or they repeat each other", code="too_large")


def _json(text: str) -> Any:
    """None where it is none, which no text that begins with a brace says otherwise."""
    with suppress(ValueError):
        return json.loads(text)
    return None


def _fault_of_json(text: str) -> Exception | None:
    """Why a text is no JSON; None also where that cannot be told."""
    try:
        with suppress(RecursionError):
            json.loads(text)
    except ValueError as error:
        return error
    return None


def _lines(name: str, root: yaml.Node, most_nodes: int) -> dict[str, int]:
    """Field to line. Every node that an alias repeats counts again, so that no small text becomes a large document."""
    found: dict[str, int] = {}
    waiting: list[tuple[str, yaml.Node, int]] = [("", root, 0)]
    seen = 0
    while waiting:
        path, node, depth = waiting.pop()
        seen += 1
        if seen > most_nodes or depth > MAX_DEPTH:
            raise _too_large(name)
        for part, inner in _inside(name, path, node):
            found.setdefault(part, inner.start_mark.line + 1)
            waiting.append((part, inner, depth + 1))
    return found


def _inside(name: str, path: str, node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    prefix = f"{path}." if path else ""
    if isinstance(node, yaml.SequenceNode):
        return [(f"{prefix}{number}", each) for number, each in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return []
    names = [str(key.value) for key, _ in node.value]
    for number, (key, _) in enumerate(node.value):
        if names[number] in names[:number]:
            raise UsageError(
                f"{name} has a field twice", why=f"line {key.start_mark.line + 1}", remedy="Give each field once.", code="field_twice"
            )
    return [(f"{prefix}{names[number]}", value) for number, (_, value) in enumerate(node.value)]

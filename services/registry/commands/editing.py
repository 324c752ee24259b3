"""Changing a registered source: field by field, or in an editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from services.registry.commands.files import Written, written
from shared.errors import Failed, UsageError

HEAD = "# {name}, version {version}. Save and leave to change it; leave it as it is to change nothing.\n"


def with_fields(document: dict[str, Any], settings: list[str]) -> Written:
    """The document with `field=value` applied; dots lead into blocks, an empty value takes the field out. Raises UsageError."""
    changed: dict[str, Any] = yaml.safe_load(yaml.safe_dump(document))
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise UsageError("--set needs field=value", remedy="For example --set host=db2.example.", code="bad_setting")
        _put(changed, path.strip().split("."), _value(text))
    return Written("the change", changed)


def _value(text: str) -> Any:
    """As YAML reads it: a number, true, a list; text that is none of these stays text."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    return value if isinstance(value, bool | int | float | list | str) or value is None else text


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    *blocks, last = path
    for block in blocks:
        inner = document.setdefault(block, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{block} has no fields", remedy="See `pursight source schema`.", code="bad_setting")
        document = inner
    if value is None or value == "":
        document.pop(last, None)
    else:
        document[last] = value


def in_editor(document: dict[str, Any], *, name: str, version: int) -> Written | None:
    """The document as somebody leaves it in $VISUAL or $EDITOR; None where nothing was changed. Raises UsageError, Failed."""
    before = HEAD.format(name=name, version=version) + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "source.yaml"
        file.write_text(before)
        try:
            subprocess.run([*command, str(file)], check=True)
        except FileNotFoundError:
            raise UsageError(f"there is no editor {command[0]}", remedy="Set EDITOR, or use --set field=value.", code="no_editor") from None
        except subprocess.CalledProcessError:
            raise Failed("the editor did not end well", why="nothing was changed", code="editor_failed") from None
        after = file.read_text()
    return None if after == before else written("the edited source", after)

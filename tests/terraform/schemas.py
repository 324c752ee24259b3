"""The schemas of the real providers, read out of the bindings that were generated from them (npm, `@cdktf/provider-…`).

The bindings hold their own source, in which every argument stands with its Terraform name, its type, whether it is required, optional
or computed, and whether it is a block. What the modules use of it is written where the tests' provider finds it.
"""

from __future__ import annotations

import json
import re
import tarfile
from base64 import b64decode
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

BINDINGS = {"aws": "21.22.1", "google": "16.12.1", "azurerm": "14.23.1", "kubernetes": "12.1.1"}
VERSIONS = {"aws": "6.25.0", "google": "6.50.0", "azurerm": "4.55.0", "kubernetes": "2.38.0"}  # of the providers they were made from

_CLASS = re.compile(r"^export class (\w+) extends cdktf\.(\w+) \{$(.*?)^\}$", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n(.*?)(?=\n  // \w+ - computed:|\Z)", re.DOTALL
)
_PART = re.compile(r"= new (cdktf\.)?(\w+)\(this, \"\w+\"(?:, (true|false))?\)")
_GETTERS = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
}
_WRITTEN = re.compile(
    r"(\w+): \{\n\s*value: (?:\w+\.\w+\()?(\w+)[^\n]*\n\s*isBlock: (true|false),\n\s*type: \"(\w+)\",\n\s*storageClassType: \"(\w+)\""
)
_STORED: dict[str, Any] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "stringMap": ["map", "string"],
}


class Binding:
    """One resource or data source of a provider, or its settings, by the source of its files."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._classes = {name: (base, body) for name, base, body in _CLASS.findall(text)}
        self._top = next(
            name for name, (base, _) in self._classes.items() if base in ("TerraformResource", "TerraformDataSource", "TerraformProvider")
        )

    def block(self) -> dict[str, Any]:
        """Its arguments and blocks, as the tests' provider reads them."""
        if self._classes[self._top][0] == "TerraformProvider":
            return self._settings(self._classes[self._top][1])
        made = self._block(self._top)
        made["Attributes"].setdefault("id", {"Type": "string", "Optional": True, "Computed": True})
        return made

    def _settings(self, writer: str) -> dict[str, Any]:
        """A provider's own settings. They are only ever written, so what writes them is all there is; none is required."""
        made: dict[str, Any] = {"Attributes": {}, "Blocks": {}}
        for field, function, is_block, kind, stored in _WRITTEN.findall(writer):
            if is_block == "true":
                made["Blocks"][field] = {"Nesting": _nesting(kind), "Block": self._settings(self._function(function))}
            else:
                made["Attributes"][field] = {"Type": _STORED.get(stored, "dynamic"), "Optional": True}
        return made

    def _block(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"Attributes": {}, "Blocks": {}}
        blocks = {field: kind for field, _, is_block, kind, _ in _WRITTEN.findall(self._writer(name)) if is_block == "true"}
        for field, computed, optional, required, body in _FIELD.findall(self._classes[name][1]):
            part = _PART.search(body)
            if field in blocks and part:
                made["Blocks"][field] = {"Nesting": _nesting(blocks[field]), "Block": self._block(self._item(part[2]))}
            else:
                flags = {"Computed": computed == "true", "Optional": optional == "true", "Required": required == "true"}
                made["Attributes"][field] = {"Type": self._type(body, part), **flags}
        return made

    def _writer(self, name: str) -> str:
        """The code that tells blocks from attributes: a function of its own for a part, a method for the whole."""
        if name == self._top:
            return self._classes[name][1]
        stem = name.removesuffix("OutputReference")
        return self._function(f"{stem[0].lower()}{stem[1:]}ToHclTerraform")

    def _function(self, name: str) -> str:
        start = self._text.find(f"export function {name}(")
        return self._text[start : self._text.find("\n}\n", start)] if start >= 0 else ""

    def _item(self, name: str) -> str:
        return name if name.endswith("OutputReference") else name.removesuffix("List") + "OutputReference"

    def _type(self, body: str, part: re.Match[str] | None) -> Any:
        if part and part[1]:
            return ["map", "bool" if part[2] == "BooleanMap" else "string"] if part[2].endswith("Map") else "dynamic"
        if part:
            inner = ["object", {name: each["Type"] for name, each in self._fields(self._item(part[2])).items()}]
            if part[2].endswith("OutputReference"):
                return inner
            return ["set" if part[3] == "true" else "list", inner]
        getter = next((kind for name, kind in _GETTERS.items() if f"this.{name}(" in body), "dynamic")
        return ["set", getter[1]] if "Fn.tolist(" in body and isinstance(getter, list) else getter

    def _fields(self, name: str) -> dict[str, Any]:
        made = self._block(name)
        nested = {
            field: ["list", ["object", {key: each["Type"] for key, each in b["Block"]["Attributes"].items()}]]
            for field, b in made["Blocks"].items()
        }
        return made["Attributes"] | {field: {"Type": kind} for field, kind in nested.items()}


def _nesting(kind: str) -> str:
    return "single" if kind == "struct" else kind


def _source(text: str) -> str:
    """The source of a file, which its source map carries."""
    encoded = text.rpartition("base64,")[2]
    return str(json.loads(b64decode(encoded))["sourcesContent"][0])


def provider_schema(archive: Path, resources: Collection[str], data: Collection[str], answers: Mapping[str, Any]) -> dict[str, Any]:
    """What the tests' provider is told of these kinds, such as `aws_vpc`, and of what its data sources answer.

    `archive` is the package as npm packs it. Raises KeyError where the real provider has no such kind.
    """
    folders = {kind: _folder(kind) for kind in resources} | {f"data.{kind}": f"data-{kind.replace('_', '-')}" for kind in data}
    texts = _texts(archive, {*folders.values(), "provider"})
    blocks = {kind: Binding(texts[folder]).block() for kind, folder in folders.items()}
    return {
        "Provider": Binding(texts["provider"]).block(),
        "Resources": {kind: blocks[kind] for kind in resources},
        "Data": {kind: blocks[f"data.{kind}"] for kind in data},
        "Answers": {kind: answers[kind] for kind in data if kind in answers},
    }


def _folder(kind: str) -> str:
    return kind.partition("_")[2].replace("_", "-")


def _texts(archive: Path, folders: Collection[str]) -> dict[str, str]:
    """The sources of each folder's files, joined."""
    found: dict[str, str] = {}
    with tarfile.open(archive) as package:
        for member in package:
            parts = Path(member.name).parts  # package/lib/FOLDER/[index-structs/]NAME.js
            if len(parts) > 3 and parts[2] in folders and member.name.endswith(".js"):
                content = package.extractfile(member)
                text = content.read().decode() if content else ""
                if "base64," in text:
                    found[parts[2]] = found.get(parts[2], "") + _source(text)
    return found

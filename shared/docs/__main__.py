"""`python -m shared.docs [--check]`: write all generated files, or fail where one differs or a contract breaks its readers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from shared.contracts.compatibility import incompatibilities
from shared.docs import asyncapi, pages, strimzi
from shared.docs.schemas import all_schemas

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "shared" / "contracts" / "schemas"


def rendered() -> Iterator[tuple[Path, str]]:
    """Every generated file with its content."""
    for name, schema in all_schemas().items():
        yield SCHEMAS / f"{name}.json", json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    yield ROOT / "docs" / "asyncapi.gen.yaml", asyncapi.document()
    yield ROOT / "docs" / "topics.gen.md", pages.topics()
    yield ROOT / "docs" / "settings.gen.md", pages.settings()
    yield ROOT / "docs" / "metrics.gen.md", pages.metrics()
    yield ROOT / "docs" / "failures.gen.md", pages.failures()
    yield ROOT / "deploy" / "k8s" / "strimzi" / "topics.gen.yaml", strimzi.topics()
    yield ROOT / "deploy" / "k8s" / "strimzi" / "users.gen.yaml", strimzi.users()
    for module in sorted((ROOT / "deploy" / "terraform" / "modules").iterdir()):
        yield module / "module.gen.md", pages.terraform(module)


def breaks() -> Iterator[str]:
    """Changes against the frozen schemas that would break a reader or a writer of the other age."""
    for name, schema in all_schemas().items():
        frozen = SCHEMAS / f"{name}.json"
        if frozen.exists():
            for text in incompatibilities(json.loads(frozen.read_text()), schema):
                yield f"{name}: {text}"


def main(arguments: list[str]) -> int:
    """0 where all is well; 1 with a line per file or field that is not."""
    broken = list(breaks())
    for line in broken:
        print(f"incompatible: {line}. Add an optional field, or a new topic version.", file=sys.stderr)
    if broken:
        return 1
    if arguments == ["--check"]:
        stale = [path for path, text in rendered() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)}. Run `make gen` and commit.", file=sys.stderr)
        return 1 if stale else 0
    for path, text in rendered():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

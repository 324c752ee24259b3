"""Data contracts: ODCS 3.0 and 3.1 as they are, and the simple form of asset definitions put into valid ODCS and back.

Nothing is dropped. What ODCS has a place for goes there, everything else becomes a custom property. One custom property,
`simpleForm`, remembers what was added and moved, so that `simple_form` gives the document back as it was written.

| simple form | ODCS |
|---|---|
| `team.owner` | a team member with the role `owner` (3.0: in the list, 3.1: in `team.members`) |
| `compliance.classification` | contract tags `classification:…` |
| `compliance.retention_days` | an SLA property `retention` in days, driver `regulatory` |
| `compliance.regulations`, `finops.cost_center`, … | custom properties `regulations`, `costCenter`, … (`MOVED`) |
| columns straight under `schema` | the properties of one object |
| any other key | a custom property of the same name |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from shared.contracts.judging import hostile, secrecy
from shared.contracts.judging.contract import CLASSIFIED, DEEPEST, MOST_PARTS, contract_key, custom_value
from shared.contracts.source import Problem

Document = dict[str, Any]
Shape = Callable[[Document], Iterable[tuple[tuple[str | int, ...], str, str]]]
"""Tells where a contract breaks the standard's schema: path, code, message without values."""

VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0")
TOP = frozenset(
    {
        *("version", "kind", "apiVersion", "id", "name", "tenant", "tags", "status", "servers", "dataProduct", "description", "domain"),
        *("schema", "support", "price", "team", "roles", "slaDefaultElement", "slaProperties", "authoritativeDefinitions"),
        *("customProperties", "contractCreatedTs"),
    }
)
DEFAULTS = {"apiVersion": "v3.1.0", "kind": "DataContract", "version": "1.0.0", "status": "draft"}
MARK = "simpleForm"
MOVED = {
    "compliance.regulations": "regulations",
    "compliance.security.encryption_required": "encryptionRequired",
    "finops.cost_center": "costCenter",
    "finops.project": "project",
    "finops.business_tags": "businessTags",
}
_BLOCKS = ("compliance", "finops")
_LOGICAL = frozenset(["string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"])
_SINCE_3_1 = frozenset({"timestamp", "time"})
_OBJECT_KEYS = frozenset(
    {"properties", "physicalName", "physicalType", "logicalType", "dataGranularityDescription", "quality", "relationships"}
)


@dataclass(slots=True)
class Normal:
    """A contract in valid ODCS. `origins`: ODCS path to where the document says it; `added`: top-level fields that were filled in;
    `strange`: fields that neither form has, which are kept as custom properties, each with the known one that is nearest, or empty."""

    contract: Document
    origins: dict[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    strange: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def origin_of(self, path: str) -> str:
        """Where the document says what stands at this ODCS path."""
        head, tail = path, ""
        while head and head not in self.origins:
            head, _, last = head.rpartition(".")
            tail = f".{last}{tail}"
        return self.origins[head] + tail if head else path


class JudgedContract(NamedTuple):
    """The contract in valid ODCS, or why not. `given` is the document as it came."""

    contract: Normal | None
    problems: tuple[Problem, ...]
    given: Document

    @property
    def key(self) -> str:
        """tenant/id, as far as the document says."""
        return contract_key(self.contract.contract if self.contract else self.given)


def judge_contract(document: Document, *, shape: Shape, name: str = "") -> JudgedContract:
    """Validate one contract, in ODCS or in the simple form. Raises nothing. `name` stands in for an id that the document lacks."""
    if size := hostile.too_large(document, most_parts=MOST_PARTS, deepest=DEEPEST):
        return JudgedContract(None, (size,), {})
    problems = [*hostile.unfit(document, prose=_is_prose, deepest=DEEPEST), *_secrets(document), *_version(document)]
    normal = normalise(document, name=name)
    problems += normal.problems
    if not problems:
        problems += [_as_written(normal, *found) for found in shape(normal.contract)]
    told = hostile.once(problems)
    return JudgedContract(None if told else normal, told, document)


_PROSE = re.compile(r"(?:^|\.)(?:description|purpose|usage|limitations|transformLogic|transformDescription|query|implementation|value)$")


def _is_prose(path: str) -> bool:
    return _PROSE.search(path) is not None


def _secrets(document: Document) -> Iterable[Problem]:
    for path, _, value in hostile.parts(document, DEEPEST):
        if isinstance(value, str) and secrecy.TEXTS.search(value):
            yield secrecy.held(path)


def _version(document: Document) -> Iterable[Problem]:
    given = document.get("apiVersion", DEFAULTS["apiVersion"])
    if given not in VERSIONS:
        remedy = f"Write one of {', '.join(VERSIONS)}, in that version's own layout."
        yield Problem(field="apiVersion", code="contract_version", message="is no version of ODCS that is read here", remedy=remedy)
    if document.get("kind", "DataContract") != "DataContract":
        yield Problem(field="kind", code="invalid", message="is not DataContract", remedy="Write kind: DataContract.")


def _as_written(normal: Normal, path: tuple[str | int, ...], code: str, message: str) -> Problem:
    shown = hostile.shown(normal.origin_of(".".join(map(str, path)))) or "document"
    return Problem(field=shown, code=code, message=message, remedy=f"Give {shown}." if code == "missing" else "See ODCS 3.1.")


def normalise(document: Document, *, name: str = "") -> Normal:
    """The document in ODCS. One that is ODCS already comes back equal; doing it again changes nothing."""
    normal = Normal({})
    mark: Document = {}
    contract = normal.contract
    for key, value in document.items():
        if key in TOP and key not in ("team", "schema", "tags", "customProperties", "slaProperties"):
            contract[key] = deepcopy(value)
    _fill(document, contract, mark, name)
    old = str(contract["apiVersion"]).startswith("v3.0")
    if isinstance(contract.get("description"), str):
        contract["description"] = {"purpose": contract["description"]}
        normal.origins["description.purpose"] = "description"
        mark["described"] = True
    for key in ("tags", "slaProperties", "customProperties"):
        if key in document:
            contract[key] = deepcopy(document[key])
    _team(document, normal, mark, old)
    _schema(document, normal, mark, old)
    for block in _BLOCKS:
        if block in document:
            _block(block, document[block], normal, mark)
    normal.strange = dict(_strange(document))
    for key in (key for key in document if key not in TOP and key not in _BLOCKS):
        _custom(normal, key, deepcopy(document[key]), key)
        mark.setdefault("top", []).append(key)
    if mark and (empty := [key for key in ("tags", "slaProperties", "customProperties") if document.get(key) == []]):
        mark["empty"] = empty
    if mark:
        mark = {key: sorted(value) if isinstance(value, list) else value for key, value in mark.items()}
        _listed(normal, "customProperties").append({"property": MARK, "value": mark})
    remembered = custom_value(contract, MARK)
    added = remembered.get("added") if isinstance(remembered, dict) else ()
    normal.added = tuple(added) if isinstance(added, list) else ()
    return normal


def _strange(document: Document) -> Iterable[tuple[str, str]]:
    """At the top, in the two blocks and in columns straight under `schema`."""
    schema: Any = document.get("schema")
    columns = schema if _is_columns(schema) else ()
    places: list[tuple[str, Any, frozenset[str]]] = [("", document, TOP | set(_BLOCKS) | {"object"})]
    places += [(f"schema.{number}.", row, _COLUMN_KEYS | {"type"}) for number, row in enumerate(columns)]
    for block in _BLOCKS:
        known = {
            path.split(".")[1] for path in (*MOVED, "compliance.classification", "compliance.retention_days") if path.startswith(block)
        }
        places.append((f"{block}.", document.get(block), frozenset(known)))
    for prefix, given, known_here in places:
        for key in given if isinstance(given, dict) else ():
            if key not in known_here:
                yield f"{prefix}{key}", next(iter(get_close_matches(key[: hostile.MAX_NAME], known_here, n=1)), "")


def _fill(document: Document, contract: Document, mark: Document, name: str) -> None:
    wanted = {**DEFAULTS, "id": next((text for text in (document.get("name"), name) if isinstance(text, str) and text), "unnamed")}
    added = [key for key in wanted if key not in document]
    contract |= {key: wanted[key] for key in added}
    if added:
        mark["added"] = added


def _team(document: Document, normal: Normal, mark: Document, old: bool) -> None:
    team = document.get("team")
    if "team" not in document:
        return
    if not isinstance(team, dict) or not ({"owner"} & team.keys() or (old and isinstance(team, dict))):
        normal.contract["team"] = deepcopy(team)
        return
    rest = {key: deepcopy(value) for key, value in team.items() if key != "owner"}
    own = {key: rest.pop(key) for key in ("id", "name", "description", "members", "tags", "customProperties") if key in rest and not old}
    members = list(own.pop("members", ())) if isinstance(own.get("members", []), list) else []
    if "owner" in team:
        normal.origins[f"team.{0 if old else 'members.0'}.username"] = "team.owner"
        members = [{"username": team["owner"], "role": "owner"}, *members]
    for key, value in rest.items():
        _custom(normal, f"team.{key}", value, f"team.{key}")
    normal.contract["team"] = members if old else {**own, "members": members}
    mark["team"] = {"owner": "owner" in team, "moved": sorted(rest), "members": "members" in team}


def _schema(document: Document, normal: Normal, mark: Document, old: bool) -> None:
    if "schema" not in document:
        return
    schema: Any = document["schema"]
    if not _is_columns(schema):
        normal.contract["schema"] = deepcopy(schema)
        return
    table = next((each for each in (document.get("object"), document.get("name"), normal.contract["id"]) if isinstance(each, str)), "data")
    normal.contract["schema"] = [{"name": table, "physicalType": "table", "properties": [_column(each, old) for each in schema]}]
    normal.origins |= {f"schema.0.properties.{number}": f"schema.{number}" for number in range(len(schema))}
    normal.origins |= {f"schema.0.properties.{number}.physicalType": f"schema.{number}.type" for number in range(len(schema))}
    mark["columns"] = True


def _is_columns(schema: Any) -> bool:
    """Columns straight under `schema`: what has a type of its own, and nothing that only objects have."""
    rows = schema if isinstance(schema, list) else ()
    return bool(rows) and all(isinstance(row, dict) and "type" in row and not _OBJECT_KEYS & row.keys() for row in rows)


_COLUMN_KEYS = frozenset({"name", "required", "description", "classification", "tags", "unique", "primaryKey", "examples"})


def _column(row: Document, old: bool) -> Document:
    kind = row["type"]
    found: Document = {key: deepcopy(value) for key, value in row.items() if key in _COLUMN_KEYS}
    if isinstance(kind, str) and kind in _LOGICAL - (_SINCE_3_1 if old else frozenset()):
        found["logicalType"] = kind
    found["physicalType"] = kind
    if rest := [key for key in row if key not in _COLUMN_KEYS and key != "type"]:
        found["customProperties"] = [{"property": key, "value": deepcopy(row[key])} for key in rest]
    return found


def _block(block: str, given: Any, normal: Normal, mark: Document) -> None:
    """`compliance` or `finops`, leaf by leaf."""
    if not isinstance(given, dict) or any("." in key for key in given):
        _custom(normal, block, deepcopy(given), block)
        mark.setdefault("top", []).append(block)
        return
    mark.setdefault("blocks", []).append(block)
    for path, value in _leaves(block, given):
        if path == "compliance.classification" and _is_texts(value):
            tags = _listed(normal, "tags")
            normal.origins |= {f"tags.{len(tags) + number}": f"{path}.{number}" for number in range(len(value))}
            tags += [f"{CLASSIFIED}{each}" for each in value]
            mark["classified"] = len(value)
        elif path == "compliance.retention_days" and isinstance(value, int) and not isinstance(value, bool):
            sla = _listed(normal, "slaProperties")
            normal.origins[f"slaProperties.{len(sla)}"] = path
            sla.append({"property": "retention", "value": value, "unit": "d", "driver": "regulatory"})
            mark["retention"] = True
        else:
            _custom(normal, MOVED.get(path, path), deepcopy(value), path)
            mark.setdefault("moved", []).append(path)


def _leaves(prefix: str, given: Document) -> Iterable[tuple[str, Any]]:
    for key, value in given.items():
        path = f"{prefix}.{key}"
        if isinstance(value, dict) and value and not any("." in name for name in value):
            yield from _leaves(path, value)
        else:
            yield path, value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _listed(normal: Normal, key: str) -> list[Any]:
    """The contract's list of that name, made where it is missing."""
    found = normal.contract.setdefault(key, [])
    if not isinstance(found, list):
        normal.problems.append(Problem(field=key, code="invalid", message="is not a list", remedy=f"Write {key} as a list."))
        return []
    return found


def _custom(normal: Normal, name: str, value: Any, path: str) -> None:
    """One custom property. Two of one name with different values are a problem: nobody knows which was meant."""
    properties = _listed(normal, "customProperties")
    before = [each for each in properties if isinstance(each, dict) and each.get("property") == name]
    if before:
        message = f"says again what customProperties.{hostile.shown(name)} says"
        normal.problems.append(Problem(field=hostile.shown(path), code="said_twice", message=message, remedy="Say it once."))
        return
    normal.origins[f"customProperties.{len(properties)}"] = path
    properties.append({"property": name, "value": value})


def simple_form(contract: Document) -> Document:
    """The inverse of `normalise`: the document as it was written; the contract itself where it was ODCS or was changed since."""
    mark = custom_value(contract, MARK)
    try:
        return _back(contract, mark) if isinstance(mark, dict) else deepcopy(contract)
    except (KeyError, IndexError, TypeError, AttributeError):
        return deepcopy(contract)


def _back(contract: Document, mark: Document) -> Document:
    custom = {each["property"]: each["value"] for each in contract["customProperties"]}
    given = {key: deepcopy(value) for key, value in contract.items() if key not in mark.get("added", ())}
    if mark.get("described"):
        given["description"] = contract["description"]["purpose"]
    _unclassify(given, mark)
    _unteam(given, mark, custom)
    if mark.get("columns"):
        given["schema"] = [_uncolumn(each) for each in contract["schema"][0]["properties"]]
    for key in mark.get("top", ()):
        given[key] = deepcopy(custom[key])
    given |= {block: {**given.get(block, {})} for block in mark.get("blocks", ())}
    for path in mark.get("moved", ()):
        _put(given, path, deepcopy(custom[MOVED.get(path, path)]))
    gone = {MARK, *mark.get("top", ()), *(MOVED.get(path, path) for path in mark.get("moved", ()))}
    gone |= {f"team.{key}" for key in mark.get("team", {}).get("moved", ())}
    _keep(given, "customProperties", [each for each in given["customProperties"] if each["property"] not in gone])
    return given | {key: [] for key in mark.get("empty", ())}


def _unclassify(given: Document, mark: Document) -> None:
    if "classified" in mark:
        count = mark["classified"]
        tags = given.get("tags", [])
        split = len(tags) - count
        given["compliance"] = {"classification": [each.removeprefix(CLASSIFIED) for each in tags[split:]]}
        _keep(given, "tags", tags[:split])
    if mark.get("retention"):
        given.setdefault("compliance", {})["retention_days"] = given["slaProperties"][-1]["value"]
        _keep(given, "slaProperties", given["slaProperties"][:-1])


def _keep(given: Document, key: str, rest: list[Any]) -> None:
    """A list that was made for what moved there goes with it."""
    if rest:
        given[key] = rest
    else:
        given.pop(key, None)


def _unteam(given: Document, mark: Document, custom: Document) -> None:
    if "team" not in mark:
        return
    was = mark["team"]
    team = given["team"]
    members = team if isinstance(team, list) else team["members"]
    back: Document = {} if isinstance(team, list) else {key: value for key, value in team.items() if key != "members"}
    if was["owner"]:
        back["owner"] = members[0]["username"]
        members = members[1:]
    if was["members"] and not isinstance(team, list):
        back["members"] = members
    given["team"] = back | {key: deepcopy(custom[f"team.{key}"]) for key in was["moved"]}


def _uncolumn(column: Document) -> Document:
    row = {key: deepcopy(value) for key, value in column.items() if key in _COLUMN_KEYS}
    return row | {"type": column["physicalType"]} | {each["property"]: each["value"] for each in column.get("customProperties", ())}


def _put(given: Document, path: str, value: Any) -> None:
    *blocks, last = path.split(".")
    for block in blocks:
        given = given.setdefault(block, {})
    given[last] = value

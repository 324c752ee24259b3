"""What all contracts share: frozen values, unknown fields ignored, defaults left out on the wire, enums open."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

Ratio = Annotated[float, Field(ge=0.0, le=1.0, description="a share: 0.0 none, 1.0 all")]
Name = Annotated[str, Field(min_length=1, max_length=255)]
AssetKey = Annotated[
    str, Field(min_length=5, max_length=8192, description="tenant/source/database.schema.table, each part percent-encoded")
]
SourceKey = Annotated[str, Field(min_length=3, max_length=2048, description="tenant/source, each part percent-encoded")]


class OpenEnum:
    """Marks a Literal as open on the wire: a reader takes any string, so that a writer may learn new words first."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.str_schema(metadata={"pydantic_js_extra": {"x-known-values": list(get_args(source))}})

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", **(schema.get("metadata") or {}).get("pydantic_js_extra", {})}


T = TypeVar("T")
Known = Annotated[T, OpenEnum()]


class Contract(BaseModel):
    """Base of every contract. Compared by value; safe to share between tasks; readers ignore unknown fields."""

    model_config = ConfigDict(frozen=True, extra="ignore", cache_strings="keys")  # values seldom repeat: looking for them costs more

    def to_json(self) -> bytes:
        """The wire form: UTF-8 JSON, defaults left out, field order as declared."""
        return self.__pydantic_serializer__.to_json(self, exclude_defaults=True)


def known_words(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Field name to the words we know, for each open enum of `model`. Requests are held to them, facts are not."""
    fields = model.model_fields.items()
    return {name: get_args(field.annotation) for name, field in fields if any(isinstance(mark, OpenEnum) for mark in field.metadata)}


E = TypeVar("E", bound=Contract)
E_co = TypeVar("E_co", bound=Contract, covariant=True)

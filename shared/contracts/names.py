"""Names of sources, assets and columns: one spelling, one parser.

A source is `tenant/name`, an asset `tenant/source/database.schema.table`, a column adds `#column`. Each part is
percent-encoded (RFC 3986: unreserved characters but the dot stay) before joining, so any name a server allows, with dots,
slashes, quotes or emoji, comes back unchanged.

>>> key = AssetName("acme", "crm", "shop", "public", "order.items").key
>>> key, AssetName.parse(key).table
('acme/crm/shop.public.order%2Eitems', 'order.items')
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

DEFAULT_TENANT = "default"


def encode(part: str) -> str:
    """Percent-encode one part; the dot too, because it separates. Raises ValueError where the part is empty or not encodable."""
    if not part:
        raise ValueError("a name has an empty part")
    return quote(part, safe="").replace(".", "%2E")


class SourceName(NamedTuple):
    tenant: str
    name: str

    @property
    def key(self) -> str:
        return f"{encode(self.tenant)}/{encode(self.name)}"

    @property
    def secret(self) -> str:
        """The name of this source's own password in the local secret store, which goes with the source."""
        return f"{encode(self.tenant)}.{encode(self.name)}"

    @classmethod
    def parse(cls, key: str) -> SourceName:
        """Raises ValueError where `key` is not `tenant/name`."""
        parts = key.split("/")
        if len(parts) != 2 or not all(parts):
            raise ValueError("a source key is tenant/name")
        return cls(*map(unquote, parts))


class AssetName(NamedTuple):
    tenant: str
    source: str
    database: str
    schema: str
    table: str

    @property
    def key(self) -> str:
        return f"{encode(self.tenant)}/{encode(self.source)}/{encode(self.database)}.{encode(self.schema)}.{encode(self.table)}"

    @property
    def source_key(self) -> str:
        return SourceName(self.tenant, self.source).key

    @property
    def place(self) -> str:
        """schema.table, as people say it; what lies at the root of a store (`/`) has no schema before it."""
        return self.table if self.schema == "/" else f"{self.schema}.{self.table}"

    @classmethod
    def parse(cls, key: str) -> AssetName:
        """Raises ValueError where `key` is not `tenant/source/database.schema.table`."""
        parts = key.split("/")
        tail = parts[-1].split(".")
        if len(parts) != 3 or len(tail) != 3 or not all(parts) or not all(tail):
            raise ValueError("an asset key is tenant/source/database.schema.table")
        return cls(*map(unquote, (*parts[:2], *tail)))

    def column(self, column: str) -> str:
        """The column's own name: the asset's key, `#`, the encoded column."""
        return f"{self.key}#{encode(column)}"


def source_of(asset_key: str) -> str:
    """The source key inside an asset key (no decoding, so it is cheap)."""
    return asset_key.rsplit("/", 1)[0]


def tenant_of(key: str) -> str:
    """The tenant at the head of any key, in the key's spelling (no decoding, so it is cheap)."""
    return key.partition("/")[0]


def printable(text: str) -> str:
    """Text that steers no terminal and no page: what cannot be shown becomes a replacement character."""
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)

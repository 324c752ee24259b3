"""The words that tags are made of: keys in their order of importance, and how categories and labels are spelled.

Keys and spellings are those of requirement document 002. The comma between listed values became a plus, because
RDS and EMR refuse commas and a plus is allowed by every AWS service.
"""

from __future__ import annotations

import re
from functools import lru_cache

LIST_SEPARATOR = "+"
MANAGED_BY = "pursight"

GOVERNANCE = ("ManagedBy", "PurSightTrace", "LastModified", "CreatedAt")
VOLATILE = frozenset({"PurSightTrace", "LastModified", "CreatedAt"})  # kept while the content is the same

CATEGORIES = ("PII", "Financial", "Health", "SpecialCategory", "Biometric", "Secrets", "Location", "Children")
LISTS = frozenset({"DataClassification", "Regulations", "BusinessTags"})
FLAGS = frozenset({"EncryptionRequired", *(f"Contains{category}" for category in CATEGORIES)})
CODES = frozenset({"TenantId", "CostCenter", "Project"})  # may be a plain number, which no checksum makes personal
SENSITIVITIES = ("public", "internal", "confidential", "restricted")  # rising

# Where a target has room for fewer tags than we have, the last ones are left out.
KEY_ORDER = (
    "ManagedBy",
    "TenantId",
    "DataClassification",
    "Sensitivity",
    *(f"Contains{category}" for category in CATEGORIES),
    "Regulations",
    "EncryptionRequired",
    "RetentionDays",
    "Owner",
    "Environment",
    "CostCenter",
    "Project",
    "Domain",
    "DataProduct",
    "Status",
    "SourceConnector",
    "TargetConnector",
    "Asset",
    "BusinessTags",
    "InfraProvider",
    "Platform",
    "TerraformWorkspace",
    "PurSightTrace",
    "LastModified",
    "CreatedAt",
)
_RANK = {key: rank for rank, key in enumerate(KEY_ORDER)}

_CATEGORY_WORDS = {
    "PII": ("pii", "personal", "contact", "identity", "identifier", "government_id", "demographic", "online", "person"),
    "Financial": ("financial", "finance", "payment", "payment_card", "card", "bank", "pci"),
    "Health": ("health", "medical", "phi"),
    "Biometric": ("biometric", "genetic"),
    "SpecialCategory": ("special", "special_category", "sensitive"),
    "Secrets": ("secret", "secrets", "credential", "credentials", "authentication"),
    "Location": ("location", "geo", "geolocation"),
    "Children": ("children", "minor"),
}
_CATEGORY_LABEL = {word: label for label, words in _CATEGORY_WORDS.items() for word in (*words, label.lower())}
_LABEL = re.compile(r"[A-Z0-9][a-z0-9]*(?:[A-Z0-9][a-z0-9]*)+")
NO_CATEGORY = frozenset({"", "none", "other", "organisation", "technical", "business"})

_LABEL_SYNONYMS = {"classification": "DataClassification", "retention": "RetentionDays", "team": "Owner", "env": "Environment"}


def importance(key: str) -> tuple[int, str]:
    """Sort key: our own keys in their order, then custom ones by name."""
    return _RANK.get(key, len(_RANK)), key


@lru_cache(maxsize=1024)
def category_label(category: str) -> str:
    """The tag's word for a class's category; empty where the category says nothing about people or risk.

    >>> category_label("payment_card"), category_label("trade_secret"), category_label("none")
    ('Financial', 'TradeSecret', '')
    """
    word = re.sub(r"[^a-z0-9]+", "_", category.lower()).strip("_")
    if word in NO_CATEGORY or word in _CATEGORY_LABEL:
        return _CATEGORY_LABEL.get(word, "")
    joined = category if _LABEL.fullmatch(category) else "".join(part.capitalize() for part in word.split("_"))
    return "" if joined.lower() in NO_CATEGORY else _CATEGORY_LABEL.get(joined.lower(), joined)


def declared_label(word: str) -> str:
    """The label that a word of a contract declares; empty for sensitivities, which are no category.

    >>> declared_label("Restricted"), declared_label("classification"), declared_label("pii")
    ('', 'Classification', 'PII')
    """
    return "" if word.strip().lower() in SENSITIVITIES else category_label(word)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


_KNOWN_LABELS = {_plain(key): key for key in KEY_ORDER} | _LABEL_SYNONYMS


@lru_cache(maxsize=4096)
def known_key(label: str) -> str:
    """The key that a source's label means, however it is spelled; empty for a custom one.

    >>> known_key("cost_center"), known_key("Cost-Center"), known_key("colour")
    ('CostCenter', 'CostCenter', '')
    """
    return _KNOWN_LABELS.get(_plain(label), "")

"""Compliance's own tables: the only SQL of this service."""

from services.compliance.store.unit import AssetRow, ComplianceUnit, Store
from services.compliance.store.views import ReportRow, Views, ViolationFilter

__all__ = ["AssetRow", "ComplianceUnit", "ReportRow", "Store", "Views", "ViolationFilter"]

"""What a mapping says of the alert as a whole, before it becomes an incident."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Header"]


@dataclass(slots=True)
class Header:
    """One alert's own facts; names are those of the mapping's ``alert`` section."""

    raw: Mapping[str, Any]
    native_id: str | None = None
    created: datetime | None = None
    timeless: bool = False
    """True for forms that often carry no usable time: one without is read all the same, and nothing decides on it."""
    instance: str | None = None
    title: str | None = None
    modified: datetime | None = None
    description: str | None = None
    severity: str | None = None
    native_severity: str | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    confidence: int | None = None
    status: str | None = None
    native_status: str | None = None
    verdict: str | None = None
    native_verdict: str | None = None
    disposition: str | None = None
    native_parent_id: str | None = None
    native_type: str | None = None
    product_version: str | None = None
    console_url: str | None = None
    occurrences: int | None = None
    rule: Mapping[str, str | None] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    observation: Mapping[str, Any] = field(default_factory=dict)
    vendor_fields: Mapping[str, Any] = field(default_factory=dict)

"""What passes between a connector and the hub: verbatim bytes, where they came from, and where to go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nightdesk.sdk.errors import NightdeskError

__all__ = ["Batch", "Cursor", "Failure", "RawRecord"]

Cursor = Mapping[str, Any]
"""Where to go on; JSON-safe, opaque to the hub, stored only in the transaction that stores its page."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One alert as the vendor sent it.

    ``payload`` is verbatim JSON of exactly one alert. ``key`` identifies this *version* of it (native id and the
    vendor's version or update time): the same key again is a duplicate. ``native_id`` is the vendor's immutable id,
    empty when the payload has none (it will be quarantined by the normaliser, not dropped here).
    """

    payload: bytes
    key: str
    native_id: str = ""
    product: str = ""
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Failure:
    """One record of a page that could not be cut out of the vendor's answer; quarantined with its bytes."""

    payload: bytes
    key: str
    error: NightdeskError
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """One page: records, failures, and the cursor that is valid once both are stored.

    ``cursor`` is None when the page must not move it (a partial answer). ``more`` says that the window is not
    drained yet.
    """

    records: Sequence[RawRecord]
    cursor: Cursor | None
    failures: Sequence[Failure] = field(default_factory=tuple)
    more: bool = False

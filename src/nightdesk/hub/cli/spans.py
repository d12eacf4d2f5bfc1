"""Times as people type them: how long (12h, 7d), and until when."""

import re
from datetime import datetime, timedelta

__all__ = ["moment", "span"]

_SPAN = re.compile(r"(\d{1,4})([hd])")
_UNIT = {"h": timedelta(hours=1), "d": timedelta(days=1)}


def span(text: str) -> timedelta | None:
    """The length that ``12h`` or ``7d`` means; None for anything else."""
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _UNIT[found[2]] if found else None


def moment(text: str, now: datetime) -> datetime | None:
    """The moment that a length from now, or a time with its zone, means; None for anything else."""
    length = span(text)
    if length is not None:
        return now + length
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None

"""``limits`` of a tenant: what the guardrails count against."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from nightdesk.autonomy.guardrails import Limits

__all__ = ["read_limits"]


def read_limits(key: str, given: Mapping[str, float], wrong: Callable[[str, str], None]) -> Limits:
    """The limits with their defaults; tells ``wrong`` which names are none."""
    known = asdict(Limits())
    for name in sorted(set(given) - set(known)):
        wrong(f"{key}.{name}", f"no such limit; there are {', '.join(known)}")
    values: dict[str, Any] = {
        name: type(known[name])(value) for name, value in given.items() if name in known and value >= 0
    }
    return Limits(**values)

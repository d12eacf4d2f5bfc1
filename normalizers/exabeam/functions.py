"""Names and words for a session, which has none of its own."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]


def _number(record: Any, name: str) -> str | None:
    value = record.get(name) if isinstance(record, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"{value:.10g}"


def notable(user: Any) -> str | None:
    """The title of a session in the list of notable ones."""
    return f"Notable session of {user}" if isinstance(user, str) and user.strip() else None


def session(user: Any) -> str | None:
    """The title of any session."""
    return f"Session of {user}" if isinstance(user, str) and user.strip() else None


def about(record: Any) -> str | None:
    """How much risk a session gathered, for how many reasons, in one line."""
    names = {
        "riskScore": "risk",
        "initialRiskScore": "at the beginning",
        "numOfReasons": "reasons",
        "numOfAssets": "assets",
    }
    found = [f"{word}: {number}" for name, word in names.items() if (number := _number(record, name)) is not None]
    return "; ".join(found) or None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (notable, session, about)
}

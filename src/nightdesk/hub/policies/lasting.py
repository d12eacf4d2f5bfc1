"""How long a time a person means by ``30d``."""

import re
from datetime import timedelta

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["lasting"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=3660)


def lasting(text: str, option: str = "--last") -> timedelta:
    """A number with m, h, d or w. Raises ConfigError."""
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    made = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < made <= _LONGEST:
        raise ConfigError([Problem(option, text, "is no time back: write a number with m, h, d or w, such as 30d")])
    return made

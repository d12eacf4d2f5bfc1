"""Which versions of the verb registry a playbook was written for: ``>=1,<2`` in the sense of semantic versioning."""

import re

from nightdesk.sdk.errors import UnsupportedError

__all__ = ["admits"]

_BOUND = re.compile(r"^(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+){0,2})$")


def admits(bounds: str, version: str) -> bool:
    """Whether the version is within all bounds. Raises UnsupportedError for bounds that cannot be read."""
    there = _parts(version)
    held = True
    for text in bounds.split(","):
        found = _BOUND.match(text.strip())
        if found is None:
            raise UnsupportedError(f"verbs {bounds!r}: write bounds such as >=1,<2")
        sign, limit = found[1], _parts(found[2])
        held &= {
            ">=": there >= limit,
            "<=": there <= limit,
            "==": there == limit,
            "!=": there != limit,
            ">": there > limit,
            "<": there < limit,
        }[sign]
    return held


def _parts(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in text.split(".")]
    return tuple([*numbers, 0, 0][:3])

"""Egress profiles: pure functions from a canonical bundle to what one kind of consumer takes.

The input is never changed, the same input gives the same output, and a profile of its own output is that output.
Which profile changes what, and which consumer proved it, stands in docs/reference/egress.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nightdesk.stix.egress.evidence import INLINE_BYTES, evidence
from nightdesk.stix.egress.graph import renamed
from nightdesk.stix.egress.markings import marked
from nightdesk.stix.egress.misp import misp
from nightdesk.stix.egress.opencti import opencti
from nightdesk.stix.egress.techniques import attack_file

__all__ = [
    "INLINE_BYTES",
    "PROFILES",
    "Sources",
    "attack_file",
    "canonical",
    "evidence",
    "misp",
    "opencti",
    "profiled",
]


@dataclass(frozen=True)
class Sources:
    """What a bundle only refers to and a profile may carry; ``evidence`` alone asks for it."""

    raw: Mapping[str, bytes] = field(default_factory=dict)
    """Raw events by their SHA-256 in hexadecimal digits."""
    raw_url: str = ""
    """Where a raw event too large to carry can be had; ``{sha256}`` in it is its hash."""
    attack: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """MITRE's own objects by id, as ``attack_file`` reads them."""


def canonical(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bundle as it is; only where alerts of several markings met in it, observables get the strictest one."""
    return [renamed(entry, {}) for entry in marked(objects)]


PROFILES: Final[Mapping[str, Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]]] = {
    "canonical": canonical,
    "opencti": opencti,
    "misp": misp,
    "evidence": evidence,
}
"""Every profile by its name."""


def profiled(name: str, objects: Sequence[Mapping[str, Any]], sources: Sources | None = None) -> list[dict[str, Any]]:
    """The objects in the profile of that name, with what else may be carried."""
    if name == "evidence" and sources is not None:
        return evidence(objects, raw=sources.raw, raw_url=sources.raw_url, attack=sources.attack)
    return PROFILES[name](objects)

"""TLP at egress: an observable is marked as strictly as the strictest of what refers to it in the bundle.

The id of an observable is the same for everyone, so its marking differs between alerts; only the bundle that leaves
says who may see it. Source: STIX 2.1 section 7.2, TLP 2.0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nightdesk.stix.egress.graph import OBSERVABLES, references
from nightdesk.stix.scope import TLP, preamble

__all__ = ["marked"]

_RANK: Final[Mapping[str, int]] = {ref: rank for rank, ref in enumerate(TLP.values())}
_BY_RANK: Final = tuple(TLP.values())
_NONE: Final = -1


def marked(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects with their observables marked, and with the definition of every TLP mark in use.

    A mark of the observable itself counts too: it is never loosened. Marks other than TLP stay as they are.
    """
    ranks = _ranks(objects)
    made = [_with_rank(entry, ranks[entry["id"]]) if entry["type"] in OBSERVABLES else dict(entry) for entry in objects]
    there = {entry["id"] for entry in made}
    used = dict.fromkeys(ref for entry in made for ref in entry.get("object_marking_refs", ()) if ref in _RANK)
    return [*(dict(preamble()[ref]) for ref in used if ref not in there), *made]


def _ranks(objects: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The rank of each observable: its own, or that of what refers to it, through other observables too."""
    ranks = {entry["id"]: _rank(entry) for entry in objects if entry["type"] in OBSERVABLES}
    targets = {ref: [other for other in _targets(entry) if other in ranks] for ref, entry in _by_id(objects).items()}
    rising: list[tuple[str, int]] = []
    for entry in objects:
        rank = _rank(entry)
        rising += [(target, rank) for target in targets[entry["id"]]]
    while rising:
        target, rank = rising.pop()
        if rank > ranks[target]:
            ranks[target] = rank
            rising += [(other, rank) for other in targets[target]]
    return ranks


def _by_id(objects: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {entry["id"]: entry for entry in objects}


def _targets(entry: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys(references(entry))


def _rank(entry: Mapping[str, Any]) -> int:
    return max((_RANK.get(ref, _NONE) for ref in entry.get("object_marking_refs", ())), default=_NONE)


def _with_rank(entry: Mapping[str, Any], rank: int) -> dict[str, Any]:
    if rank == _rank(entry):
        return dict(entry)
    others = [ref for ref in entry.get("object_marking_refs", ()) if ref not in _RANK]
    return {**entry, "object_marking_refs": [_BY_RANK[rank], *others]}

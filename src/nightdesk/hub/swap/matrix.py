"""Every ordered pair of vendors of a role, rehearsed: each vendor takes its turn once, and the turns are compared."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nightdesk.hub.registry import Registry
from nightdesk.hub.swap.parity import Parity, Rehearsal, compare
from nightdesk.hub.swap.recorded import RecordedCase
from nightdesk.hub.swap.turn import Turn, take_turn

__all__ = ["Matrix", "markdown", "matrix", "vendors_of"]

_WORDS = {
    Parity.BETTER: "b",
    Parity.SAME: "=",
    Parity.LOSSY: "lossy",
    Parity.WEAKER: "weaker",
    Parity.REFUSED: "refused in part",
    Parity.FAILED: "FAILED",
    Parity.MISSING: "missing",
}


@dataclass(frozen=True, slots=True)
class Matrix:
    """One role: its vendors, each one's turn, and the rehearsal of every ordered pair."""

    role: str
    vendors: tuple[str, ...]
    turns: Mapping[str, Turn]
    pairs: Mapping[tuple[str, str], Rehearsal]


def vendors_of(registry: Registry, role: str, cases: Sequence[RecordedCase]) -> tuple[str, ...]:
    """Vendors that offer the role and at least one verb of the cases."""
    used = {action.verb for case in cases for action in case.actions}
    return tuple(
        name
        for name, manifest in sorted(registry.manifests.items())
        if role in manifest.roles and used & set(manifest.acts)
    )


async def matrix(
    registry: Registry, role: str, cases: Sequence[RecordedCase], policy: bytes, vendors: Iterable[str] = ()
) -> Matrix:
    """Rehearses all of them. Raises UnsupportedError for a vendor that is not there."""
    names = tuple(vendors) or vendors_of(registry, role, cases)
    turns = {name: await take_turn(registry, name, role, cases, policy) for name in names}
    pairs = {
        (old, new): compare(role, turns[old], turns[new], registry.manifest(old), registry.manifest(new))
        for old in names
        for new in names
        if old != new
    }
    return Matrix(role, names, turns, pairs)


def markdown(found: Matrix) -> Iterator[str]:
    """The matrix as a table: what each new vendor (across) does not do as the old one (down) does."""
    yield f"## {found.role}"
    yield ""
    yield "| from \\ to | " + " | ".join(f"`{name}`" for name in found.vendors) + " |"
    yield "| --- |" + " --- |" * len(found.vendors)
    for old in found.vendors:
        cells = [_cell(found.pairs[old, new]) if old != new else "" for new in found.vendors]
        yield f"| `{old}` | " + " | ".join(cells) + " |"
    yield ""


def _cell(pair: Rehearsal) -> str:
    verbs = [row for row in pair.verbs if row.parity is not Parity.NEITHER]
    counts = Counter(row.parity for row in verbs)
    good = counts[Parity.SAME] + counts[Parity.BETTER]
    parts = [f"{good}/{len(verbs)}"]
    for parity in (Parity.LOSSY, Parity.WEAKER, Parity.REFUSED, Parity.FAILED, Parity.MISSING):
        names = [row.verb for row in verbs if row.parity is parity]
        if names:
            parts.append(f"{_WORDS[parity]}: {', '.join(names)}")
    return "; ".join(parts)

"""Two turns side by side: what the new vendor does as the old one did, what it loses, what it lacks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nightdesk.hub.swap.turn import Deed, Seen, Turn
from nightdesk.sdk.manifest import Action, Manifest
from nightdesk.sdk.verbs import VERBS

__all__ = ["CaseParity", "Parity", "Rehearsal", "Scope", "VerbParity", "compare"]


class Parity(StrEnum):
    """How the new vendor's way of one verb stands to the old one's; from good to bad."""

    BETTER = "better"
    """The old one could not, or lost more."""
    SAME = "same"
    LOSSY = "lossy"
    """Done, without a parameter that the old one honours."""
    WEAKER = "weaker"
    """Accepted without a read-back, or not to be undone, where the old one was."""
    REFUSED = "refused"
    """Offered, and refused with a reason for a target or parameter that the old one took."""
    FAILED = "failed"
    """Accepted, and not in effect in the rehearsal though the old one's was."""
    MISSING = "missing"
    """The old one can, the new one cannot."""
    NEITHER = "neither"
    """Nobody offers it."""


@dataclass(frozen=True, slots=True)
class VerbParity:
    """One verb. ``losses`` are the new vendor's; ``seconds`` to the effect, the slowest of each."""

    verb: str
    parity: Parity
    losses: tuple[str, ...] = ()
    why: str = ""
    seconds_from: float | None = None
    seconds_to: float | None = None


@dataclass(frozen=True, slots=True)
class CaseParity:
    """One case: alerts told, alerts that arrived through the new vendor, facts lost, and what was decided."""

    case: str
    told: int
    arrived: int
    facts_lost: tuple[str, ...]
    facts_gained: tuple[str, ...]
    decision_from: tuple[str, ...]
    decision_to: tuple[str, ...]

    @property
    def same_decision(self) -> bool:
        """True when the same policy decides the same."""
        return self.decision_from == self.decision_to


@dataclass(frozen=True, slots=True)
class Scope:
    """One permission that the new vendor must be given, and what it is for."""

    scope: str
    needed_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The whole comparison. ``headroom`` is how many such cases a minute the vendor's own limit allows."""

    role: str
    source: str
    destination: str
    policy_changed: bool
    verbs: tuple[VerbParity, ...]
    cases: tuple[CaseParity, ...]
    scopes: tuple[Scope, ...]
    requests_per_case: float
    requests_per_minute: int
    headroom: float
    problems: tuple[str, ...]

    def worst(self) -> Parity:
        """The gravest of all verbs that the old vendor offers."""
        order = list(Parity)
        found = [row.parity for row in self.verbs if row.parity is not Parity.NEITHER]
        return max(found, key=order.index, default=Parity.SAME)


def compare(role: str, old: Turn, new: Turn, old_manifest: Manifest, new_manifest: Manifest) -> Rehearsal:
    """What the swap would change."""
    cases = max(1, len(new.seen))
    per_case = new.requests / cases
    limit = new_manifest.limits.requests_per_minute
    return Rehearsal(
        role=role,
        source=old.vendor,
        destination=new.vendor,
        policy_changed=old.policy != new.policy,
        verbs=tuple(_verbs(old.deeds, new.deeds, role, old_manifest, new_manifest)),
        cases=tuple(_case(one, other) for one, other in zip(old.seen, new.seen, strict=True)),
        scopes=tuple(_scopes(role, new_manifest)),
        requests_per_case=round(per_case, 1),
        requests_per_minute=limit,
        headroom=round(limit / per_case, 1) if per_case else float(limit),
        problems=new.problems,
    )


def _verbs(
    old: Sequence[Deed], new: Sequence[Deed], role: str, old_manifest: Manifest, new_manifest: Manifest
) -> Iterator[VerbParity]:
    rehearsed = {deed.verb for deed in old}
    declared = {
        name
        for manifest in (old_manifest, new_manifest)
        for name in manifest.verbs
        if VERBS[name].role in {role, "source"} and VERBS[name].name == VERBS[name].family
    }
    for name in sorted(rehearsed | declared):
        before = [deed for deed in old if deed.verb == name]
        after = [deed for deed in new if deed.verb == name]
        parity, why = _parity(before, after, _action(old_manifest, name), _action(new_manifest, name))
        losses = tuple(dict.fromkeys(loss for deed in after for loss in deed.losses))
        yield VerbParity(name, parity, losses, why, _slowest(before), _slowest(after))


def _action(manifest: Manifest, name: str) -> Action | None:
    return manifest.acts.get(name) or manifest.writes_back.get(name)


def _parity(
    before: Sequence[Deed], after: Sequence[Deed], old: Action | None, new: Action | None
) -> tuple[Parity, str]:
    if new is None:
        return (Parity.NEITHER, "") if old is None else (Parity.MISSING, "no such verb there")
    if old is None:
        return Parity.BETTER, "the old one has no such verb"
    failed = [deed for deed, was in zip(after, before, strict=True) if was.effective and not deed.effective]
    refused = [deed for deed in failed if not deed.accepted]
    if refused and len(refused) == len(failed):
        return Parity.REFUSED, refused[0].problem
    if failed and not new.accept_only:
        return Parity.FAILED, failed[0].problem or f"{failed[0].target} is {failed[0].state}"
    if new.accept_only and not old.accept_only:
        return Parity.WEAKER, f"accepted only: {new.accept_only}"
    if old.inverse and not new.inverse:
        return Parity.WEAKER, f"cannot be undone: {new.irreversible}"
    stuck = [deed for deed, was in zip(after, before, strict=True) if was.undone and deed.undone is False]
    if stuck:
        return Parity.FAILED, f"{stuck[0].target} was not undone"
    lost = set(_lost(after, new, old)) - set(_lost(before, old, old))
    gained = set(_lost(before, old, old)) - set(_lost(after, new, old))
    if lost:
        return Parity.LOSSY, f"without {', '.join(sorted(lost))}"
    better = bool(gained) or (bool(old.accept_only) and not new.accept_only)
    return (Parity.BETTER, f"honours {', '.join(sorted(gained))}" if gained else "") if better else (Parity.SAME, "")


def _lost(deeds: Sequence[Deed], action: Action, old: Action) -> Iterator[str]:
    """The parameters that were named as lost, or that the old one takes and this one does not declare."""
    yield from set(old.parameters) - set(action.parameters)
    for deed in deeds:
        for loss in deed.losses:
            yield loss.partition("=")[0].partition(":")[0].strip()


def _slowest(deeds: Sequence[Deed]) -> float | None:
    return max((deed.seconds for deed in deeds if deed.effective), default=None)


def _case(old: Seen, new: Seen) -> CaseParity:
    return CaseParity(
        case=old.case,
        told=new.told,
        arrived=new.arrived,
        facts_lost=tuple(sorted(old.facts - new.facts)),
        facts_gained=tuple(sorted(new.facts - old.facts)),
        decision_from=old.decisions,
        decision_to=new.decisions,
    )


def _scopes(role: str, manifest: Manifest) -> Iterator[Scope]:
    needed: dict[str, list[str]] = {}
    for name, stream in manifest.pulls.items():
        needed.setdefault(stream.scope, []).append(f"pull {name}")
    for name, action in (*manifest.acts.items(), *manifest.writes_back.items()):
        if VERBS[name].role in {role, "source"}:
            needed.setdefault(action.scope, []).append(name)
    for scope, uses in sorted(needed.items()):
        if scope:
            yield Scope(scope, tuple(uses))

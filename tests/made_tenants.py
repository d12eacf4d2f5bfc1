"""Tenants made up for evaluations: units whose scores are drawn, so that the truth about a threshold is known."""

from random import Random

from nightdesk.autonomy.evaluation.units import HeldOut, Unit, Units

__all__ = ["fold", "tenant", "unit"]


def unit(
    number: int,
    *,
    tenant: str = "t",
    rule: str = "R",
    entity: str = "host",
    at: float | None = None,
    incident: str = "",
    unclear: bool = False,
) -> Unit:
    """The n-th unit, an hour after the one before; an attack when it has an incident."""
    opened = number * 3600.0 if at is None else at
    key = f"{tenant}/{entity}/{rule}/{number}"
    return Unit(key, tenant, rule, entity, opened, opened + 300.0, bool(incident), unclear, incident)


def tenant(chance: Random, name: str, *, attacks: int, benign: int = 50) -> Units:
    """Attacks that score from 0 to 1, benign units from -1 to 0.02; one rule each, an incident for each attack."""
    units, scores = [], []
    for number in range(attacks + benign):
        attack = number < attacks
        incident = f"step-{number}" if attack else ""
        units.append(unit(number, tenant=name, rule="A" if attack else "B", incident=incident))
        scores.append(chance.random() if attack else -1 + 1.02 * chance.random())
    return Units(name, tuple(units), tuple(scores))


def fold(chance: Random, *, attacks: int, others: int = 4, benign: int = 50) -> HeldOut:
    """A tenant held out, and others with as many attacks together."""
    calibrating = {
        f"o{number}": tenant(chance, f"o{number}", attacks=attacks // others, benign=benign) for number in range(others)
    }
    return HeldOut("own", tenant(chance, "own", attacks=20, benign=benign), calibrating)

"""What a tenant may take over from others: counts of a rule, never anything that one of them saw (law 3).

A tenant is named here by an opaque number, and a count leaves only once three tenants are behind it: with fewer, the
other one could tell whose it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nightdesk.autonomy.levels.evidence import DEFAULT_TERMS, FleetRecord, Terms, fleet_prior

__all__ = ["Contribution", "prior_for", "record_of"]

_TELL_FROM = 3
"""Tenants that must be behind a count before anybody hears it (guardrail 9); the one who asks is one of them."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One tenant's counts of one rule in the zone that would be closed: nothing else of it is known here."""

    tenant: str
    rule: str
    benign: int
    attacks: int


def record_of(rule: str, tenant: str, contributions: Iterable[Contribution]) -> FleetRecord:
    """What the other tenants know of a rule, for that tenant; its own counts are no part of it.

    An attack counts wherever it was, the asking tenant included: the prior is then gone everywhere.
    """
    about = [one for one in contributions if one.rule == rule]
    others = [one for one in about if one.tenant != tenant and one.benign > 0]
    benign = sum(one.benign for one in others) if len({one.tenant for one in others}) + 1 >= _TELL_FROM else 0
    return FleetRecord(len({one.tenant for one in others}), benign, sum(one.attacks for one in about))


def prior_for(rule: str, tenant: str, contributions: Iterable[Contribution], terms: Terms = DEFAULT_TERMS) -> int:
    """How many benign verdicts that rule starts with in that tenant."""
    return fleet_prior(record_of(rule, tenant, contributions), terms)

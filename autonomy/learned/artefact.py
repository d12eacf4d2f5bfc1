"""Everything that is kept of one training: tables, counts of rules, promises by tenant, and what was usual then.

One JSON document. Its name is the hash of the tables, so a decision that names it can be computed anew (law 11).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nightdesk.autonomy.learning.priors import Counts, Fleet
from nightdesk.autonomy.learning.tables import Tables
from nightdesk.autonomy.levels.gate import Certificate
from nightdesk.autonomy.risk.threshold import Threshold
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["ANYBODY", "Baseline", "Claim", "Learned", "family"]

ANYBODY = ""
"""Under this name stands what is promised to a tenant that was not among those learnt from."""

Baseline = Mapping[str, tuple[tuple[float, ...], tuple[int, ...]]]
"""By feature the cuts of a histogram, and how many groups of a tenant fell between them."""


def family(rule: str) -> str:
    """A group's rule without its version."""
    return rule.rpartition("@")[0] or rule


@dataclass(frozen=True, slots=True)
class Claim:
    """What is promised for one tenant. ``distrusted`` rules are left to people, whatever they score.

    ``missing`` attacks more, each caught, are needed before anything is promised; ``why`` says so in words.
    """

    closing: Certificate
    recommending: Certificate
    families: Mapping[str, Certificate] = field(default_factory=dict)
    distrusted: frozenset[str] = frozenset()
    missing: int = 0
    why: str = ""

    @property
    def certified(self) -> bool:
        """Whether anything may be closed on it."""
        return self.closing.tau is not None

    def of(self, rule: str) -> Certificate:
        """The certificate that a rule is closed by: its family's, where that is the more careful one."""
        return self.families.get(family(rule), self.closing)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "closing": asdict(self.closing),
            "recommending": asdict(self.recommending),
            "families": {name: asdict(one) for name, one in sorted(self.families.items())},
            "distrusted": sorted(self.distrusted),
            "missing": self.missing,
            "why": self.why,
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Claim":
        """Back from ``plain``."""
        return cls(
            Certificate(**plain["closing"]),
            Certificate(**plain["recommending"]),
            {name: Certificate(**one) for name, one in plain["families"].items()},
            frozenset(plain["distrusted"]),
            int(plain["missing"]),
            str(plain["why"]),
        )

    @staticmethod
    def certificate(threshold: Threshold, top: float) -> Certificate:
        """The threshold as a certificate, and nothing closed from ``top`` on."""
        if threshold.certified and threshold.tau > top:
            threshold = replace(threshold, tau=top, tie=0)
        return Certificate.of(threshold)


@dataclass(frozen=True, slots=True)
class Learned:
    """A model with what is needed to use and to watch it.

    ``fleet`` are counts of rules, tools and tactics by tenant and stay in the hub: a tenant gets its view (law 3).
    ``attacks`` are the scores of known attacks by models that had not seen their tenant. ``figures`` are for people.
    """

    tables: Tables
    fleet: Fleet
    claims: Mapping[str, Claim]
    attacks: tuple[float, ...] = ()
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """The hash of the tables."""
        return self.tables.model_id

    def claim(self, tenant: str) -> Claim:
        """What is promised for that tenant."""
        return self.claims.get(tenant) or self.claims[ANYBODY]

    def plain(self) -> dict[str, Any]:
        """JSON-able, and read again by ``read``."""
        return {
            "tables": self.tables.plain(),
            "fleet": {"rules": self.fleet.rules, "sources": self.fleet.sources, "tactics": self.fleet.tactics},
            "claims": {name: one.plain() for name, one in sorted(self.claims.items())},
            "attacks": list(self.attacks),
            "baselines": {
                tenant: {name: [list(cuts), list(counts)] for name, (cuts, counts) in sorted(one.items())}
                for tenant, one in sorted(self.baselines.items())
            },
            "figures": dict(self.figures),
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any], *, model_id: str = "") -> "Learned":
        """From what ``plain`` gave. Raises ConfigError for a damaged one, or one that is not ``model_id``."""
        where = f"model {model_id[:12]}"
        try:
            found = cls(
                Tables.read(plain["tables"], file=where),
                Fleet(*(_counts(plain["fleet"][name]) for name in ("rules", "sources", "tactics"))),
                {name: Claim.read(one) for name, one in plain["claims"].items()},
                tuple(map(float, plain["attacks"])),
                {
                    tenant: {name: (tuple(map(float, cuts)), tuple(map(int, counts)))
                             for name, (cuts, counts) in one.items()}
                    for tenant, one in plain["baselines"].items()
                },
                {str(name): float(value) for name, value in plain["figures"].items()},
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError([Problem(where, "", f"is no learnt model: {error!r}; train again")]) from error
        if (model_id and found.model_id != model_id) or ANYBODY not in found.claims:
            raise ConfigError([Problem(where, "", "is not what its name says: restore it from the backup")])
        if not all(map(math.isfinite, found.attacks)):
            raise ConfigError([Problem(where, "attacks", "a score is no number; train again")])
        return found


def _counts(plain: Mapping[str, Mapping[str, Any]]) -> Counts:
    return {word: {tenant: [int(a), int(b)] for tenant, (a, b) in of.items()} for word, of in plain.items()}

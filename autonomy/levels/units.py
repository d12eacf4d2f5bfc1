"""The unit that earns: one detection rule in one version, at one tenant, for one class of decisions.

Evidence for a rule says nothing about its next version, and evidence of one tenant nothing about another: the same
rule can be noise here and exfiltration there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from nightdesk.sdk.case import Alert, Case
from nightdesk.sdk.errors import PolicyError

__all__ = ["DecisionClass", "Unit", "class_of", "classes_of", "entity_of", "family_of", "rule_key", "rule_keys"]

_NO_RULE = "-"
_VERSIONLESS = "-"
_ENTITIES = ("host", "device", "account", "address", "email", "resource")


class DecisionClass(StrEnum):
    """What kind of decision is earned; each for itself."""

    CLOSE = "close"
    CONTAIN_HOST = "contain-host"
    CONTAIN_IDENTITY = "contain-identity"
    BLOCK_INDICATOR = "block-indicator"

    @property
    def contains(self) -> bool:
        """Whether it changes something at a vendor beside the alert itself."""
        return self is not DecisionClass.CLOSE


_CLASSES = {
    "host": DecisionClass.CONTAIN_HOST,
    "device": DecisionClass.CONTAIN_HOST,
    "file": DecisionClass.CONTAIN_HOST,
    "process": DecisionClass.CONTAIN_HOST,
    "account": DecisionClass.CONTAIN_IDENTITY,
    "credential": DecisionClass.CONTAIN_IDENTITY,
    "email": DecisionClass.BLOCK_INDICATOR,
    "indicator": DecisionClass.BLOCK_INDICATOR,
    "alert": DecisionClass.CLOSE,
}


def class_of(verb: str) -> DecisionClass:
    """The class that an action's verb belongs to; what is blocked everywhere is an indicator. Raises PolicyError."""
    found = _class(verb)
    if found is None:
        raise PolicyError(f"{verb} decides nothing that could be earned; it only tells or looks")
    return found


def classes_of(verbs: Iterable[str]) -> tuple[DecisionClass, ...]:
    """The classes that these verbs belong to, sorted; what only tells or looks has none."""
    return tuple(sorted({found for one in verbs if (found := _class(one)) is not None}))


def _class(verb: str) -> DecisionClass | None:
    head, _, action = verb.partition(".")
    return DecisionClass.BLOCK_INDICATOR if action == "block" else _CLASSES.get(head)


def rule_key(product: str, rule: str, version: str = "") -> str:
    """``product/rule@version`` with every part escaped, so that no rule can be named like another one's version."""
    return f"{_escaped(product)}/{_escaped(rule or _NO_RULE)}@{_escaped(version or _VERSIONLESS)}"


def _escaped(part: str) -> str:
    return quote(part, safe=" :", errors="backslashreplace")


def rule_keys(alerts: Iterable[Alert]) -> tuple[str, ...]:
    """The rules of these alerts, sorted, each once."""
    return tuple(sorted({rule_key(one.product, one.rule_id or one.rule_name, one.rule_version) for one in alerts}))


def family_of(key: str) -> str:
    """The rule without its version: what thresholds, samples and canaries are grouped by."""
    return key.rpartition("@")[0]


def entity_of(case: Case) -> str:
    """The entity that evidence of a case is counted under: its host before its account before an address."""
    rank = {kind: place for place, kind in enumerate(_ENTITIES)}
    known = [one.key for one in case.entities]
    return min(known, key=lambda key: (rank.get(key.partition(":")[0], len(rank)), key), default="")


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One unit. ``rule`` is as ``rule_key`` writes it. Raises PolicyError when it names no tenant or no rule."""

    tenant: str
    rule: str
    decides: DecisionClass = DecisionClass.CLOSE

    def __post_init__(self) -> None:
        if not self.tenant or self.tenant == "*":
            raise PolicyError("a unit of autonomy belongs to one tenant; name it")
        if self.rule.count("/") != 1 or self.rule.count("@") != 1:
            raise PolicyError(f"{self.rule!r} is no rule: write PRODUCT/RULE@VERSION as `autonomy status` shows it")

    @classmethod
    def parse(cls, tenant: str, rule: str, decides: str = DecisionClass.CLOSE) -> "Unit":
        """A unit as a person names it; a rule without version means the one that has none."""
        if decides not in set(DecisionClass):
            raise PolicyError(f"{decides!r} is no decision class; there are {', '.join(DecisionClass)}")
        return cls(tenant, rule if "@" in rule else f"{rule}@{_VERSIONLESS}", DecisionClass(decides))

    @property
    def family(self) -> str:
        """The rule in any version."""
        return family_of(self.rule)

    @property
    def version(self) -> str:
        """The version's own text; empty where the product tells none."""
        found = unquote(self.rule.rpartition("@")[2])
        return "" if found == _VERSIONLESS else found

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for records and audit lines."""
        return {"tenant": self.tenant, "rule": self.rule, "decides": self.decides.value}

    def __str__(self) -> str:
        return f"{self.decides} by {self.rule} at {self.tenant}"

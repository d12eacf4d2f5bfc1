"""Suppression: two persons answer for not being called about a detection for a while.

It is a closing rule that was agreed on at the console instead of signed in the policy, and no more than one: it names
the detection exactly, everything that would make a machine abstain still does, every alert is kept and counted, and it
ends. An alert of anything else in the same case calls a person all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from nightdesk.autonomy.policy import Rule
from nightdesk.autonomy.policy_faults import faults
from nightdesk.sdk.errors import PolicyError

__all__ = ["LONGEST", "PREFIX", "Asked", "State", "Suppression", "rules_of", "suppressing"]

LONGEST = timedelta(days=30)
PREFIX = "suppression-"
"""How the rule of a suppression is called in a decision; no policy may call its own so."""


class State(StrEnum):
    """``asked`` waits for the second person; nothing follows ``ended`` and ``declined``."""

    ASKED = "asked"
    ACTIVE = "active"
    DECLINED = "declined"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be quiet: one detection, all of it or where it is about certain things.

    ``entities`` are ``kind:value`` of what has an id or an address; ``severity`` is the word up to which it holds.
    """

    rule_id: str = ""
    rule_name: str = ""
    source: str = ""
    entities: tuple[str, ...] = ()
    severity: str = "medium"


@dataclass(frozen=True, slots=True)
class Suppression:
    """One suppression. ``agreed_by`` is the second person; who asked owns it."""

    suppression_id: str
    asked: Asked
    owner: str
    reason: str
    created_at: datetime
    expires_at: datetime
    state: State = State.ASKED
    agreed_by: str = ""
    ended_by: str = ""

    def active(self, now: datetime) -> bool:
        """Whether it holds at that moment."""
        return self.state is State.ACTIVE and now < self.expires_at

    def to_json(self) -> dict[str, Any]:
        """What a decision under it has to remember, as JSON values."""
        return {
            "id": self.suppression_id,
            "rule_id": self.asked.rule_id,
            "rule_name": self.asked.rule_name,
            "source": self.asked.source,
            "entities": list(self.asked.entities),
            "severity": self.asked.severity,
            "owner": self.owner,
            "agreed_by": self.agreed_by,
            "reason": self.reason,
            "expires_at": self.expires_at.isoformat(),
        }


def rules_of(suppressions: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The closing rules that these (as ``to_json`` gives them) are. Raises PolicyError naming what is wrong."""
    return tuple(_rule(one) for one in suppressions)


def suppressing(rules: Sequence[Rule | None]) -> bool:
    """Whether any of these closing rules is a suppression's."""
    return any(rule is not None and rule.id.startswith(PREFIX) for rule in rules)


def _rule(told: Mapping[str, Any]) -> Rule:
    when: dict[str, Any] = {"severity_at_most": told["severity"]}
    for name in ("rule_id", "rule_name", "source"):
        if told[name]:
            when[name] = told[name]
    by_kind: dict[str, list[str]] = {}
    for key in told["entities"]:
        kind, _, value = key.partition(":")
        by_kind.setdefault(kind, []).append(value)
    if by_kind:
        when["entities"] = [{"kind": kind, "in": values} for kind, values in sorted(by_kind.items())]
    try:
        rule = Rule.model_validate({
            "id": f"{PREFIX}{told['id']}",
            "owner": f"{told['owner']} and {told['agreed_by']}" if told["agreed_by"] else told["owner"],
            "reason": told["reason"],
            "expires": told["expires_at"],
            "when": when,
            "then": {"close": {"verdict": "benign-positive", "at_once": True}},
        })  # fmt: skip
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PolicyError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    wrong = [f"{key.removeprefix('.when').lstrip('.') or 'the detection'}: {text}" for key, text in faults(rule)]
    if wrong:
        raise PolicyError("; ".join(wrong))
    return rule

"""The fault plan: what a simulator does wrong, when, and how often.

A plan is a YAML list. ``path`` is a regular expression on the URL path, ``after`` skips that many matches, ``times``
bounds the faults (0: no end), ``options`` depend on the kind:

    - {kind: rate_limited, path: ^/alerts, times: 2, options: {retry_after: 1}}
    - {kind: server_error, options: {status: 503}}
    - {kind: offline_host, options: {device_id: aid-7}}
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Fault", "FaultKind", "FaultPlan"]

FaultKind = Literal[
    "rate_limited",
    "server_error",
    "lost_reply",
    "truncated_body",
    "not_json",
    "redirect",
    "expired_token",
    "missing_scope",
    "clock_skew",
    "slow",
    "offline_host",
    "accepted_then_failed",
    "late_effect",
    "out_of_order",
    "drifted_field",
    "partial_answer",
    "lies",
]


class Fault(BaseModel):
    """One line of the plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    path: str = ""
    method: str = ""
    after: Annotated[int, Field(ge=0)] = 0
    times: Annotated[int, Field(ge=0)] = 0
    options: Mapping[str, Any] = {}


class FaultPlan:
    """The faults still to come; counts its own matches, so one plan belongs to one simulator."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = list(faults)
        self._matched = [0] * len(self.faults)

    @classmethod
    def load(cls, path: Path) -> "FaultPlan":
        """Reads a YAML plan. Raises ConfigError with all problems."""
        try:
            rows = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from error
        if not isinstance(rows, list):
            raise ConfigError([Problem(str(path), "", "must be a list of faults")])
        problems: list[Problem] = []
        faults: list[Fault] = []
        for number, row in enumerate(rows):
            try:
                faults.append(Fault.model_validate(row))
            except ValidationError as error:
                problems.extend(
                    Problem(str(path), ".".join(map(str, (number, *item["loc"]))), item["msg"])
                    for item in error.errors()
                )
        if problems:
            raise ConfigError(problems)
        return cls(faults)

    def add(self, kind: FaultKind, **fields: Any) -> None:
        """Adds one fault while the simulator runs; ``options`` may be given as keyword arguments' dict."""
        self.faults.append(Fault(kind=kind, **fields))
        self._matched.append(0)

    def clear(self) -> None:
        """Everything works again."""
        self.faults.clear()
        self._matched.clear()

    def take(self, kinds: Sequence[FaultKind], *, method: str = "", path: str = "") -> Fault | None:
        """The first fault of those kinds that is due for this request; counts the match."""
        for index, fault in enumerate(self.faults):
            if fault.kind not in kinds:
                continue
            if (fault.method and fault.method != method) or (fault.path and not re.search(fault.path, path)):
                continue
            self._matched[index] += 1
            hits = self._matched[index] - fault.after
            if hits >= 1 and (fault.times == 0 or hits <= fault.times):
                return fault
        return None

    def standing(self, kind: FaultKind, **options: Any) -> Fault | None:
        """A fault of that kind that holds for these options (a missing option in the plan matches all); not counted."""
        for fault in self.faults:
            if fault.kind == kind and all(fault.options.get(name, value) == value for name, value in options.items()):
                return fault
        return None

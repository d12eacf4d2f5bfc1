"""The tests beside a policy (``POLICY.tests.yaml``): cases as people write them, and what must become of each.

Read with every fault at once, each with its line, like the policy itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nightdesk.autonomy.conditions import SEVERITIES
from nightdesk.autonomy.policy_lines import Lines
from nightdesk.sdk.case import CaseStatus, EntityKind, Outcome, Verdict
from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.verbs import VERBS

__all__ = ["Expected", "ShortAlert", "ShortEntity", "Suite", "Test", "beside", "read_suite"]

MAX_BYTES = 5_000_000
FIRST = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
"""When the alerts of a test begin unless it says so: fixed, so that a test means the same on every day."""


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _entity(value: object) -> object:
    """``host:ws-0042`` or ``host:ws-0042 victim-host``."""
    if not isinstance(value, str):
        return value
    key, _, role = value.strip().partition(" ")
    kind, _, name = key.partition(":")
    return {"kind": kind, "value": name, "role": role.strip() or "other"}


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShortEntity(_Strict):
    """One thing an alert is about."""

    kind: EntityKind
    value: Annotated[str, Field(min_length=1)]
    role: str = "other"
    facts: dict[str, str] = {}


class ShortAlert(_Strict):
    """A normalised alert in short form; ``seconds`` after the first one of the case."""

    rule_id: str = ""
    rule_name: str = ""
    title: str = "An alert"
    description: str = ""
    severity: Literal["unknown", "informational", "low", "medium", "high", "critical", "fatal"] = "low"
    seconds: Annotated[float, Field(ge=0)] = 0.0
    source: str = "test"
    product: str = "test"
    techniques: Texts = ()
    tactics: Texts = ()
    source_verdict: str = ""
    disposition: str = ""
    closed_at_source: bool = False
    caution: Texts = ()
    entities: tuple[Annotated[ShortEntity, BeforeValidator(_entity)], ...] = ()

    @property
    def severity_id(self) -> int:
        """The severity as decisions have it."""
        return SEVERITIES.get(self.severity, 0)


class RawAlerts(_Strict):
    """A vendor's own alerts in a file beside the tests."""

    product: str
    file: str


class ShortAsset(_Strict):
    """What the inventory says of a host or account."""

    asset_type: str = ""
    tags: Texts = ()
    privileged: bool = False
    resolves_to: Annotated[int, Field(ge=0)] = 1


class Around(_Strict):
    """What stands around the case; the rest is quiet."""

    status: CaseStatus = CaseStatus.NEW
    severity: Literal["informational", "low", "medium", "high", "critical", "fatal"] | None = None
    decided_after: Annotated[float, Field(ge=0)] = 600.0
    quiet_seconds: Annotated[float, Field(ge=0)] = 300.0
    signed_by: Annotated[int, Field(ge=0, le=2)] = 2
    kill_switch: bool = False
    with_person: bool = False
    missing: Texts = ()
    maintenance: Texts = ()
    stopped_rules: Texts = ()
    alerts_last_hour: Annotated[int, Field(ge=0)] = 0
    closed_last_hour: Annotated[int, Field(ge=0)] = 0
    hosts_last_hour: Annotated[int, Field(ge=0)] = 0
    fleet_size: Annotated[int, Field(ge=0)] = 1000
    assets: dict[str, ShortAsset] = {}


class Expected(_Strict):
    """What must become of the case; only what is written is looked at."""

    outcome: Outcome | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    rules: Texts | None = None
    proposals: Texts | None = None
    forbidden: Annotated[tuple[Outcome, ...], BeforeValidator(_listed)] = ()


class Test(_Strict):
    """One named case."""

    __test__ = False  # pytest looks at the name

    name: Annotated[str, Field(min_length=1)]
    at: AwareDatetime | None = None
    alerts: tuple[ShortAlert, ...] = ()
    stix: str = ""
    raw: RawAlerts | None = None
    around: Around = Around()
    expect: Expected


class _File(_Strict):
    policy: str = ""
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file, each with its line there. ``folder`` is where the files they name are looked for."""

    file: str
    folder: Path
    policy: str
    tests: tuple[Test, ...]
    lines: tuple[int, ...]


def beside(policy: Path) -> Path:
    """Where the tests of a policy stand."""
    return policy.with_name(f"{policy.stem}.tests.yaml")


def read_suite(path: Path) -> Suite:
    """The tests in a file. Raises ConfigError with every problem."""
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [Problem(file, "", f"cannot be read ({error.strerror}): write tests there, see docs/reference/policy.md")]
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(file, "", f"is larger than {MAX_BYTES:,} bytes: split it")])
    try:
        raw = yaml.safe_load(data)
        lines = Lines(data)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError([Problem(file, "", f"is no YAML: {' '.join(str(error).split())}")]) from error
    if not isinstance(raw, Mapping):
        raise ConfigError([Problem(file, "", "must be a mapping with tests, a list of named cases")])
    try:
        found = _File.model_validate(raw)
    except ValidationError as error:
        told = [(_key(entry["loc"]), entry["msg"][:1].lower() + entry["msg"][1:]) for entry in error.errors()]
        raise ConfigError([Problem(file, key, lines.told(key, text)) for key, text in told]) from error
    problems = [Problem(file, key, lines.told(key, text)) for key, text in _faults(found)]
    if problems:
        raise ConfigError(problems)
    places = tuple(lines.of(f"tests[{index}]") for index in range(len(found.tests)))
    return Suite(file, path.resolve().parent, found.policy, found.tests, places)


def _faults(found: _File) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = [] if found.tests else [("tests", "is empty: write at least one named case")]
    seen: set[str] = set()
    for index, test in enumerate(found.tests):
        key = f"tests[{index}]"
        if test.name in seen:
            problems.append((f"{key}.name", f"{test.name!r} is there twice: rename one"))
        seen.add(test.name)
        if sum((bool(test.alerts), bool(test.stix), test.raw is not None)) != 1:
            problems.append((key, "give the case as exactly one of alerts, stix, raw"))
        if not test.expect.model_fields_set:
            problems.append((f"{key}.expect", "says nothing: write an outcome, a reason, rules, proposals, forbidden"))
        for text in test.expect.proposals or ():
            if text.partition(" ")[0] not in VERBS or ":" not in text:
                said = f"{text!r}: write a verb and a target, such as host.isolate host:ws-1"
                problems.append((f"{key}.expect.proposals", said))
    return problems


def _key(loc: tuple[str | int, ...]) -> str:
    key = ""
    for part in loc:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key

"""Recorded cases: who was there, what was told, what was done, without any vendor; written by ``swap record``."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAccount, StoryAlert, StoryDevice
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.sdk.verbs import verb

__all__ = ["BUNDLED", "RecordedAction", "RecordedAlert", "RecordedCase", "RecordedCases", "bundled", "read_cases"]

BUNDLED = ("edr", "identity", "firewall")
"""Roles that have cases of their own in the package."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedDevice(_Strict):
    """One host of a case."""

    hostname: str
    addresses: tuple[str, ...] = ()
    asset_type: Literal["workstation", "server"] = "workstation"
    platform: Literal["Windows", "Linux", "macOS"] = "Windows"

    def told(self, processes: tuple[StoryProcess, ...]) -> StoryDevice:
        """As a simulator enrols it."""
        return StoryDevice(
            f"dev-{self.hostname.lower()}", self.hostname, self.addresses, self.asset_type, self.platform, processes
        )


class RecordedAccount(_Strict):
    """One account of a case."""

    name: str
    email: str
    domain: str = ""
    sid: str = ""
    groups: tuple[str, ...] = ()
    key_ids: tuple[str, ...] = ()

    def told(self) -> StoryAccount:
        """As a simulator enrols it."""
        return StoryAccount(
            f"acc-{self.name.lower()}", self.name, self.email, self.domain, self.sid, self.groups, self.key_ids
        )


class RecordedProcess(_Strict):
    """The process an alert was about."""

    name: str
    path: str
    sha256: str
    pid: int = 4711
    command_line: str = ""

    def told(self) -> StoryProcess:
        """As a story has it."""
        return StoryProcess(self.name, self.path, self.command_line or self.path, self.pid, self.sha256)


class RecordedAlert(_Strict):
    """One alert; ``seconds`` after the case's first."""

    title: str
    severity: Literal["informational", "low", "medium", "high", "critical"]
    rule: str
    seconds: Annotated[float, Field(ge=0)] = 0.0
    host: str = ""
    user: str = ""
    process: RecordedProcess | None = None
    source_address: str = ""
    destination_address: str = ""
    domain: str = ""
    techniques: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()

    def told(self, uid: str, at: datetime, devices: Mapping[str, StoryDevice]) -> StoryAlert:
        """As a simulator raises it."""
        return StoryAlert(
            uid,
            at + timedelta(seconds=self.seconds),
            self.title,
            self.rule,
            self.severity,
            device=devices.get(self.host),
            user=self.user,
            user_domain="CORP" if self.user else "",
            process=self.process.told() if self.process else None,
            source_address=self.source_address,
            destination_address=self.destination_address,
            domain=self.domain,
            technique_ids=self.techniques,
            tactic_ids=self.tactics,
        )


class RecordedAction(_Strict):
    """One action that was carried out, by its verb and target alone."""

    verb: str
    target: str
    facts: dict[str, str] = {}
    parameters: dict[str, Any] = {}

    @property
    def aim(self) -> Target:
        """The target as the engine has it."""
        plain = Target.parse(self.target)
        return Target(plain.kind, plain.value, self.facts)


class RecordedCase(_Strict):
    """One case."""

    case: str
    title: str
    devices: tuple[RecordedDevice, ...] = ()
    accounts: tuple[RecordedAccount, ...] = ()
    alerts: tuple[RecordedAlert, ...] = ()
    actions: tuple[RecordedAction, ...] = ()

    def estate(self) -> dict[str, StoryDevice]:
        """Its hosts by name, with the processes its alerts name running on them."""
        running: dict[str, list[StoryProcess]] = {}
        for alert in self.alerts:
            if alert.process is not None:
                running.setdefault(alert.host, []).append(alert.process.told())
        return {device.hostname: device.told(tuple(running.get(device.hostname, ()))) for device in self.devices}


class RecordedCases(_Strict):
    """The file."""

    role: str
    cases: Annotated[tuple[RecordedCase, ...], Field(min_length=1)]

    def dump(self) -> str:
        """The file's text."""
        return yaml.safe_dump(
            self.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True, width=160
        )


def read_cases(path: Path) -> RecordedCases:
    """Reads recorded cases. Raises ConfigError with every problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    return _parsed(text, str(path))


def bundled(role: str) -> RecordedCases:
    """The package's own cases of a role. Raises ConfigError that lists the roles that have some."""
    if role not in BUNDLED:
        there = ", ".join(BUNDLED)
        raise ConfigError([Problem("--role", role, f"no bundled cases; there are some for {there}; give --cases")])
    return _parsed((resources.files(__package__) / "cases" / f"{role}.yaml").read_text(encoding="utf-8"), role)


def _parsed(text: str, file: str) -> RecordedCases:
    try:
        found = RecordedCases.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError([Problem(file, "", f"is no YAML: {error}")]) from error
    except ValidationError as error:
        raise ConfigError(
            [Problem(file, ".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        ) from error
    problems: list[Problem] = []
    for number, case in enumerate(found.cases):
        for place, action in enumerate(case.actions):
            key = f"cases.{number}.actions.{place}"
            try:
                verb(action.verb)
                action.aim  # noqa: B018  # raises for a target that is none
            except Exception as error:  # noqa: BLE001  # narrowed below
                problems.append(Problem(file, key, str(error)))
    if problems:
        raise ConfigError(problems)
    return found

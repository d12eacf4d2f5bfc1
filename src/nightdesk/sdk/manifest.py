"""A connector's manifest: what it can do, readable without importing its code.

``connectors/<vendor>/manifest.yaml`` is validated against :class:`Manifest`; every problem is reported at once.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nightdesk.sdk.errors import ConfigError, Problem, UnsupportedError
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.verbs import VERBS, Risk, TargetKind

__all__ = [
    "Action",
    "Audience",
    "Manifest",
    "OwnClock",
    "Setting",
    "Stream",
    "Sunset",
    "load_manifest",
    "validate_settings",
    "validated",
]

Stability = Literal["alpha", "beta", "stable"]
Audience = Literal["none", "vendor", "community", "public"]
"""Who learns of what is sent: nobody beside the tenant (its own system, or its own part of a service), the vendor,
other organisations, everybody."""
# The one in C reads a manifest ten times as fast, and every command reads them all; some builds of PyYAML lack it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SLUG = re.compile(r"^[a-z][a-z0-9_]*$")
WITNESSABLE = frozenset(
    {
        TargetKind.HOST,
        TargetKind.ACCOUNT,
        TargetKind.ADDRESS,
        TargetKind.DOMAIN,
        TargetKind.URL,
        TargetKind.FILE,
    }
)
"""Kinds of targets whose activity telemetry can tell."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Strict):
    """One configuration key of an instance."""

    type: Literal["text", "url", "integer", "flag", "secret"]
    help: str
    required: bool = False
    default: str | int | bool | None = None
    example: str | int | bool | None = None
    choices: tuple[str, ...] = ()


class Stream(_Strict):
    """One kind of alert (or of indicator) that comes in; ``product`` is the normaliser's slug.

    ``tells_changes`` is false where the vendor tells of an alert once, and not when it is changed or closed.
    """

    product: str
    stability: Stability
    docs: str
    scope: str = ""
    paging: str = ""
    cursor: str = ""
    tells_changes: bool = True


class OwnClock(_Strict):
    """The vendor ends this action's effect by itself; ``renewable``: asked again in time, it begins anew.

    ``seconds`` is how long it lasts when nothing else is asked for, none: as long as ``duration`` says, or for ever;
    ``most`` is the longest it can last.
    """

    why: str
    docs: str
    seconds: Annotated[float, Field(gt=0)] | None = None
    most: Annotated[float, Field(gt=0)] | None = None
    duration: bool = False
    renewable: bool = False


class Action(_Strict):
    """One verb this vendor can do. ``accept_only`` verbs have no read-back and stay below autonomy above R1."""

    stability: Stability
    scope: str
    docs: str
    read_back: str = ""
    accept_only: str = ""
    parameters: tuple[str, ...] = ()
    inverse: str = ""
    irreversible: str = ""
    own_clock: OwnClock | None = None
    deadline: Annotated[float, Field(gt=0, description="seconds until a pending action counts as unverified")] = 300.0
    shares: Audience | None = None
    """Where this verb tells more or fewer than the connector's ``shares``."""


class Limits(_Strict):
    """What the vendor allows; ``requests_per_minute`` feeds the rate budget."""

    requests_per_minute: int = Field(gt=0)
    source: str


class Sunset(_Strict):
    """The announced end of a vendor's API that this connector uses."""

    api: str
    on: date
    docs: str
    instead: str = ""


class Manifest(_Strict):
    """One vendor.

    ``witnesses``: kinds of targets its telemetry tells the activity of; ``witness_scope``: what that needs.
    ``management_peers``: addresses, networks and domains that a host it isolated still talks to. ``known_as``: what
    telemetry calls it as a provider of sign-ins, beside ``vendor``.
    """

    vendor: str
    title: str
    company: str
    kind: Literal["siem", "edr", "xdr", "identity", "firewall", "mail", "cloud", "intel", "ticketing", "chat", "ids"]
    roles: tuple[str, ...]
    docs: str
    auth: tuple[str, ...]
    settings: dict[str, Setting]
    limits: Limits
    pulls: dict[str, Stream] = {}
    receives: dict[str, Stream] = {}
    intel: dict[str, Stream] = {}
    acts: dict[str, Action] = {}
    writes_back: dict[str, Action] = {}
    reads_one: bool = False
    finds_assets: bool = False
    finds_accounts: bool = False
    follows_cases: bool = False
    hears_answers: bool = False
    enriches: tuple[TargetKind, ...] = ()
    witnesses: tuple[TargetKind, ...] = ()
    witness_scope: str = ""
    management_peers: tuple[str, ...] = ()
    known_as: tuple[str, ...] = ()
    shares: Audience = "vendor"
    searches: bool = False
    checks_health: bool = True
    simulated: bool = True
    known_limits: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    sunsets: tuple[Sunset, ...] = ()

    @field_validator("vendor")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not _SLUG.match(value):
            raise ValueError("is no slug (a-z, 0-9, _)")
        return value

    @model_validator(mode="after")
    def _verbs(self) -> "Manifest":
        sections = (("acts", self.acts), ("writes_back", self.writes_back))
        problems = [
            f"{section}.{name}: {problem}"
            for section, actions in sections
            for name, action in actions.items()
            for problem in self._problems(section, name, action)
        ]
        if self.witnesses and not self.witness_scope:
            problems.append("witness_scope: say what reading the telemetry needs")
        strange = sorted(set(self.witnesses) - WITNESSABLE)
        if strange:
            problems.append(f"witnesses: no telemetry tells of {', '.join(strange)}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self, section: str, name: str, action: Action) -> Iterator[str]:
        verb = VERBS.get(name)
        if verb is None:
            yield "no such verb"
            return
        if (section == "writes_back") != name.startswith("alert."):
            yield "alert.* verbs belong in writes_back, others in acts"
        if bool(action.read_back) == bool(action.accept_only):
            yield "give read_back (which state) or accept_only (why)"
        if verb.risk >= Risk.R2 and not (action.inverse or action.irreversible or verb.no_inverse):
            yield "needs inverse or irreversible (why)"
        if action.own_clock is not None and action.own_clock.duration and "duration" not in action.parameters:
            yield "its own clock is set by duration, which is not among its parameters"
        if action.inverse and action.inverse not in self.verbs:
            yield f"its inverse {action.inverse} is not declared here, so it could not be undone"
        unknown = set(action.parameters) - set(verb.parameters)
        if unknown:
            yield f"the verb has no parameter {', '.join(sorted(unknown))}"

    def action(self, name: str) -> Action:
        """The declared action of that verb. Raises UnsupportedError."""
        found = self.acts.get(name) or self.writes_back.get(name)
        if found is None:
            raise UnsupportedError(f"{self.vendor}: {name} is not declared; it can {', '.join(sorted(self.verbs))}")
        return found

    def audience(self, name: str) -> Audience:
        """Who learns of what that verb sends."""
        return self.action(name).shares or self.shares

    def stream(self, name: str) -> Stream:
        """The declared stream of that name. Raises UnsupportedError."""
        there = {**self.feeds, **self.receives}
        if name not in there:
            raise UnsupportedError(f"{self.vendor}: no stream {name!r}; there are {', '.join(sorted(there))}")
        return there[name]

    @property
    def feeds(self) -> dict[str, Stream]:
        """Every stream that is pulled, of alerts or of indicators."""
        return {**self.pulls, **self.intel}

    @property
    def remote(self) -> bool:
        """True when it talks to a vendor's service, and does not only take what is sent or written to it."""
        return self.checks_health and any(setting.type == "url" for setting in self.settings.values())

    @property
    def verbs(self) -> tuple[str, ...]:
        """Every verb it can do, write-backs included."""
        return (*self.acts, *self.writes_back)


def load_manifest(path: Path) -> Manifest:
    """Reads and validates one manifest. Raises ConfigError with all problems."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  # a safe loader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ConfigError(
            [
                Problem(str(path), ".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, "))
                for item in error.errors()
            ]
        ) from error


def validate_settings(manifest: Manifest, given: Mapping[str, Any], *, file: str, key: str) -> dict[str, Any]:
    """The settings with defaults filled and secrets wrapped. Raises ConfigError with all problems and keys."""
    return validated(manifest.settings, manifest.vendor, given, file=file, key=key)


def validated(
    declared: Mapping[str, Setting], owner: str, given: Mapping[str, Any], *, file: str, key: str
) -> dict[str, Any]:
    """The same for settings that something else than a connector declares; ``owner`` is its name in messages."""
    there = ", ".join(declared)
    problems = [
        Problem(file, f"{key}.{name}", f"{owner} has no such setting; it has {there}")
        for name in sorted(map(str, set(given) - set(declared)))
    ]
    values: dict[str, Any] = {}
    for name, setting in declared.items():
        raw = given.get(name)
        raw = setting.default if raw is None else raw  # a key without a value is a key not given
        if raw is None:
            if setting.required:
                example = f", for example {setting.example}" if setting.example is not None else ""
                problems.append(Problem(file, f"{key}.{name}", f"is required ({setting.help}){example}"))
            continue
        try:
            values[name] = _setting(setting, raw)
        except ConfigError as error:
            problems.extend(Problem(file, f"{key}.{name}", problem.message) for problem in error.problems)
        except ValueError as error:
            problems.append(Problem(file, f"{key}.{name}", str(error)))
    if problems:
        raise ConfigError(problems)
    return values


def _setting(setting: Setting, raw: Any) -> Any:
    wanted: dict[str, tuple[type, ...]] = {
        "text": (str,),
        "url": (str,),
        "integer": (int,),
        "flag": (bool,),
        "secret": (str, Secret),
    }
    value: Any = raw
    if not isinstance(raw, wanted[setting.type]) or (setting.type == "integer" and isinstance(raw, bool)):
        raise ValueError(f"must be {setting.type}, is {type(raw).__name__}")
    if setting.type == "secret":
        return value if isinstance(value, Secret) else Secret(value)
    if setting.type == "url" and not re.match(r"^https?://[^/\s]+", value):
        raise ValueError("must be an http(s) URL")
    if setting.choices and value not in setting.choices:
        raise ValueError(f"must be one of {', '.join(setting.choices)}")
    return value.rstrip("/") if setting.type == "url" else value

"""Reads commands as they come over the wire and writes them: JSON to checked values, with the place of what is wrong.

Source: OpenC2 Language Specification 1.0, sections 3.1 and 3.3; JSON as RFC 7493 has it (no repeated names, no broken
text); the envelope is that of the specification for HTTPS 1.1, section 3.3.2.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from nightdesk.autonomy.openc2.targets import NSID, STANDARD, TARGETS, CommandId, Text
from nightdesk.sdk.errors import MappingError, UnsupportedError

__all__ = ["ACTIONS", "LATEST", "Actuator", "Args", "Command", "Envelope", "Extras", "read_command", "read_envelope"]

ACTIONS = (
    "scan", "locate", "query", "deny", "contain", "allow", "start", "stop", "restart", "cancel", "set", "update",
    "redirect", "create", "delete", "detonate", "restore", "copy", "investigate", "remediate",
)  # fmt: skip
"""Every action of the language; it may not be extended."""
LATEST = 253_402_300_799_000
"""The last second of the year 9999, in milliseconds: no later time can be written down."""
_LONGEST = 100 * 365 * 86_400_000
_EXACT = 2**53
_SOURCE = "OpenC2 command"
_M = TypeVar("_M", bound=BaseModel)
_Scalar = str | int | float | bool


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Extras(_Strict):
    """What the language has no word for. ``verb`` tells verbs of one pair apart; parameters of the verb stand beside.

    ``accept_losses`` names parameters that may stay unhonoured.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, _Scalar | list[_Scalar]]

    verb: Annotated[str, Field(max_length=64)] = ""
    case: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=4096)] = ""
    accept_losses: list[Annotated[str, Field(max_length=64)]] = []

    @property
    def parameters(self) -> dict[str, Any]:
        """What is for the verb."""
        return dict(self.__pydantic_extra__)


class Args(_Strict):
    """The arguments of the language: times in milliseconds since 1970, lengths in milliseconds."""

    start_time: Annotated[int, Field(ge=0, le=LATEST)] | None = None
    stop_time: Annotated[int, Field(ge=0, le=LATEST)] | None = None
    duration: Annotated[int, Field(ge=0, le=_LONGEST)] | None = None
    response_requested: Literal["none", "ack", "status", "complete"] | None = None

    @model_validator(mode="after")
    def _two_of_three(self) -> "Args":
        if None not in {self.start_time, self.stop_time, self.duration}:
            raise ValueError("start_time, stop_time and duration: only two of them; the third follows")
        return self


class Actuator(_Strict):
    """Where it is done: the host that a process or file is on; for an alert, the connector it came from."""

    hostname: Text | None = None
    connector: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class _Outline(_Strict):
    action: Literal[ACTIONS]  # type: ignore[valid-type]  # the list is written once
    target: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=1)]
    args: Annotated[dict[str, JsonValue], Field(min_length=1)] | None = None
    actuator: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=1)] | None = None
    command_id: CommandId | None = None


class Headers(_Strict):
    """The message's own headers. ``from`` is a courtesy: who commands is who the credential belongs to."""

    request_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    created: Annotated[int, Field(ge=0, le=LATEST)] | None = None
    sender: Annotated[str, Field(max_length=256)] = Field("", alias="from")
    to: list[Annotated[str, Field(max_length=256)]] | Annotated[str, Field(max_length=256)] = []


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``value`` is the target as its type in TARGETS has it: a model, a text, a list of features."""

    action: str
    target: str
    value: Any
    args: Args = field(default_factory=Args)
    extras: Extras = field(default_factory=lambda: Extras.model_validate({}))
    actuator: Actuator = field(default_factory=Actuator)
    command_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what was not said is left out."""
        args = self.args.model_dump(exclude_none=True)
        ours = {name: getattr(self.extras, name) for name in Extras.model_fields}
        extras = {**self.extras.parameters, **{name: value for name, value in ours.items() if value}}
        actuator = self.actuator.model_dump(exclude_none=True)
        plain = self.value.model_dump(exclude_none=True) if isinstance(self.value, BaseModel) else self.value
        made: dict[str, Any] = {"action": self.action, "target": {self.target: plain}}
        if args or extras:
            made["args"] = {**args, **({NSID: extras} if extras else {})}
        if actuator:
            made["actuator"] = {NSID: actuator}
        if self.command_id:
            made["command_id"] = self.command_id
        return made


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request as it came: the command as JSON values, and the headers when it had an envelope."""

    command: Any
    headers: Headers | None = None


def read_envelope(body: bytes) -> Envelope:
    """The one request in this body, with its envelope or bare. Raises MappingError, UnsupportedError."""
    document = _json(body)
    if not isinstance(document, dict):
        raise MappingError("a command is a JSON object", source=_SOURCE)
    if "body" not in document:
        return Envelope(document)
    if "signature" in document:
        raise UnsupportedError("a message's signature is not checked here, so it is not taken: leave it out")
    strange = sorted(set(document) - {"headers", "body"})
    if strange:
        raise MappingError(f"a message has no {strange[0]!r}", pointer=_pointer((strange[0],)), source=_SOURCE)
    headers = _checked(Headers, document.get("headers", {}), ("headers",))
    inner = document["body"]
    for step in ("openc2", "request"):
        if not isinstance(inner, dict) or set(inner) != {step}:
            raise MappingError(f"holds exactly one {step!r}", pointer="/body", source=_SOURCE)
        inner = inner[step]
    return Envelope(inner, headers)


def read_command(data: Any) -> Command:
    """The command in these JSON values. Raises MappingError when it breaks the language, UnsupportedError beyond it."""
    if not isinstance(data, dict):
        raise MappingError("a command is a JSON object", source=_SOURCE)
    outline = _checked(_Outline, data, ())
    ((name, value),) = outline.target.items()
    args = dict(outline.args or {})
    extras = args.pop(NSID, {})
    for key, given in args.items():
        if key not in Args.model_fields:
            _beyond("argument", key, isinstance(given, dict), ("args", key), [*Args.model_fields, NSID])
    actuator = outline.actuator or {}
    for key in actuator:
        if key != NSID:
            _beyond("actuator", key, True, ("actuator", key), [NSID])
    if name not in TARGETS:
        _beyond("target", name, ":" in name or name in STANDARD, ("target", name), list(TARGETS))
    return Command(
        outline.action,
        name,
        _target(name, value),
        _checked(Args, args, ("args",)),
        _checked(Extras, extras, ("args", NSID)),
        _checked(Actuator, actuator.get(NSID, {}), ("actuator", NSID)),
        outline.command_id or "",
    )


def _target(name: str, value: Any) -> Any:
    try:
        return TARGETS[name].validate_python(value)
    except ValidationError as error:
        _refuse(error, ("target", name))


def _checked(model: type[_M], data: Any, where: tuple[str | int, ...]) -> _M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        _refuse(error, where)


def _refuse(error: ValidationError, where: tuple[str | int, ...]) -> NoReturn:
    first: Mapping[str, Any] = error.errors()[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    said = first["msg"].removeprefix("Value error, ")
    raise MappingError(f"{said}{more}", pointer=_pointer((*where, *first["loc"])), source=_SOURCE) from error


def _beyond(what: str, name: str, known: bool, where: tuple[str, ...], there: list[str]) -> NoReturn:
    """A word that belongs to another profile is beyond us; one that belongs to none is wrong."""
    shown = name[:64]
    if known:
        raise UnsupportedError(f"the {what} {shown!r} is not supported; there are {', '.join(there)}")
    message = f"no such {what}: there are {', '.join(there)}"
    raise MappingError(message, pointer=_pointer((*where[:-1], shown)), source=_SOURCE)


def _pointer(parts: tuple[str | int, ...]) -> str:
    return "".join("/" + str(part)[:64].replace("~", "~0").replace("/", "~1") for part in parts)


def _json(body: bytes) -> Any:
    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_exact,
        )
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # a lone surrogate has no bytes
    except RecursionError as error:
        raise MappingError("the JSON is nested too deeply", source=_SOURCE) from error
    except UnicodeError as error:
        raise MappingError("the text is no valid UTF-8", source=_SOURCE) from error
    except ValueError as error:  # JSONDecodeError, and whole numbers of thousands of digits
        raise MappingError(f"the body is no JSON: {error}", source=_SOURCE) from error
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object names a member twice")
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:64]} is no number that can be kept: it is beyond a double (RFC 7493, 2.2)")
    return number


def _exact(text: str) -> int:
    number = int(text)
    if abs(number) > _EXACT:
        raise ValueError(f"{text[:64]} is no number that can be kept exactly (RFC 7493, 2.2): send it as a text")
    return number

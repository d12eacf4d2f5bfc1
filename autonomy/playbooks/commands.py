"""OpenC2 commands of this project: which verb one means, and what it is done to.

A command names a pair that the verb table has (``contain`` and ``device``). Where several verbs share a pair,
``args.x-nightdesk.verb`` says which. Source: OpenC2 Language Specification 1.0, and the project's action vocabulary.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import Field, ValidationError

from nightdesk.autonomy.playbooks.model import Command, Part
from nightdesk.autonomy.playbooks.variables import filled
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, TargetKind, Verb

__all__ = ["HTTP", "MANUAL", "Order", "checked_target", "manual_text", "order_of", "pair_of", "target_of"]

MANUAL, HTTP = "manual", "openc2-http"
_ALIKE: Mapping[str, str] = {"ipv6_net": "ipv4_net"}
_HASHES = ("sha256", "sha1", "md5")


class _Ours(Part):
    verb: str | None = None
    parameters: dict[str, Any] = Field(default={})
    facts: dict[str, str] = Field(default={})
    accept_losses: tuple[str, ...] = ()
    reason: str = ""


class _Args(Part):
    duration: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One OpenC2 command as it stands in a playbook, variables still by name."""

    verb: Verb
    value: str
    facts: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    accept_losses: tuple[str, ...] = ()
    reason: str = ""
    lease: timedelta | None = None

    @property
    def texts(self) -> tuple[Any, ...]:
        """Every place where a variable may be named."""
        return (self.value, self.facts, self.parameters, self.reason)

    def given(self, values: Mapping[str, str]) -> "Order":
        """The same with the variables' values. Raises PolicyError for one without."""
        return Order(
            self.verb,
            filled(self.value, values),
            filled(self.facts, values),
            filled(self.parameters, values),
            self.accept_losses,
            filled(self.reason, values),
            self.lease,
        )


def target_of(order: Order) -> Target:
    """What it is done to. Raises RejectedError for a value that is none of its kind."""
    return Target(order.verb.target, order.value, {name: text for name, text in order.facts.items() if text})


def pair_of(verb: Verb) -> str:
    """The OpenC2 pair of a verb as people write it."""
    return ":".join(verb.openc2)


def manual_text(command: Command) -> str:
    """What a person is told to do. Raises UnsupportedError for text that cannot be read."""
    if command.command is not None:
        return command.command
    return _decoded(command.command_b64 or "").decode("utf-8", "replace")


def order_of(command: Command) -> Order:
    """The verb and target of an ``openc2-http`` command. Raises UnsupportedError that says what is wrong with it."""
    try:
        document = json.loads(_decoded(command.content_b64 or ""))
    except (ValueError, RecursionError) as error:
        raise UnsupportedError(f"its content is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnsupportedError("its content is no OpenC2 command: write {action, target, args}")
    known = {"action", "target", "args", "command_id", "profile"}
    strange = sorted(set(document) - known)
    if strange:
        raise UnsupportedError(f"an OpenC2 command has no {', '.join(strange)}")
    action, target = document.get("action"), document.get("target")
    if not isinstance(action, str) or not isinstance(target, dict) or len(target) != 1:
        raise UnsupportedError("an OpenC2 command has an action and exactly one target")
    ours, args = _arguments(document.get("args", {}))
    ((name, specifier),) = target.items()
    verb = _verb(action, name, ours.verb)
    value, facts = _specified(verb, name, specifier)
    if args.duration is not None and args.duration <= 0:
        raise UnsupportedError(f"args.duration is {args.duration} ms: a lease lasts longer than nothing")
    lease = None if args.duration is None else timedelta(milliseconds=args.duration)
    return Order(verb, value, {**facts, **ours.facts}, ours.parameters, ours.accept_losses, ours.reason, lease)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnsupportedError(f"is no base64: {error}") from error


def _arguments(given: Any) -> tuple[_Ours, _Args]:
    if not isinstance(given, dict):
        raise UnsupportedError("args is an object")
    try:
        ours = _Ours.model_validate(given.get("x-nightdesk", {}))
        args = _Args.model_validate({name: value for name, value in given.items() if name != "x-nightdesk"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnsupportedError(f"args.{where}: {first['msg']}; not executed by nightdesk") from error
    return ours, args


def _verb(action: str, name: str, wanted: str | None) -> Verb:
    pair = (action, _ALIKE.get(name, name))
    meant = [verb for verb in VERBS.values() if verb.openc2 == pair]
    if wanted is not None:
        if wanted not in VERBS:
            raise UnsupportedError(f"no verb {wanted!r}; there are {', '.join(sorted(VERBS))}")
        found = VERBS[wanted]
        if found not in meant:
            raise UnsupportedError(f"{wanted} is {pair_of(found)} in OpenC2, not {action}:{name}")
        return found
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise UnsupportedError(f"no verb is {action}:{name} in OpenC2; the verbs' pairs are in the reference")
    names = ", ".join(verb.name for verb in meant)
    raise UnsupportedError(f"{action}:{name} may be {names}: say which in args.x-nightdesk.verb")


def _specified(verb: Verb, name: str, specifier: Any) -> tuple[str, dict[str, str]]:
    """The target's value and further names, as the specifier has them."""
    if isinstance(specifier, str):
        return specifier, {}
    if not isinstance(specifier, dict):
        raise UnsupportedError(f"target {name}: write a text or an object")
    texts = {key: str(value) for key, value in specifier.items() if isinstance(value, str | int)}
    if verb.target is TargetKind.HOST and "hostname" in texts:
        return texts.pop("hostname"), _rest(name, texts, "device_id")
    if verb.target is TargetKind.FILE and isinstance(specifier.get("hashes"), dict):
        hashes = {key: specifier["hashes"][key] for key in _HASHES if key in specifier["hashes"]}
        if len(hashes) == 1 and len(specifier) == 1:
            ((kind, digest),) = hashes.items()
            return f"{kind}:{digest}", {}
    if verb.target is TargetKind.PROCESS and texts.keys() & {"pid", "name"}:
        value = texts.get("name") or texts["pid"]
        return value, {**({"pid": texts["pid"]} if "pid" in texts else {}), **_rest(name, texts, "pid", "name")}
    if set(specifier) == {"uid"} and isinstance(specifier["uid"], str):
        return specifier["uid"], {}
    raise UnsupportedError(f"target {name}: {json.dumps(specifier)[:120]} names no {verb.target}")


def _rest(name: str, texts: Mapping[str, str], *known: str) -> dict[str, str]:
    strange = sorted(set(texts) - set(known))
    if strange:
        raise UnsupportedError(f"target {name}: {', '.join(strange)} is not executed by nightdesk")
    return {key: value for key, value in texts.items() if key not in {"pid", "name"}}


def checked_target(order: Order) -> str:
    """Why the target cannot be one, or nothing."""
    try:
        target_of(order)
    except RejectedError as error:
        return str(error)
    return ""

"""Reads a policy file and says everything that is wrong with it at once, each with its place and what to do."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nightdesk.autonomy.policy import Policy, PolicyFile, Rule, canonical_bytes
from nightdesk.autonomy.policy_faults import faults
from nightdesk.autonomy.policy_lines import Lines
from nightdesk.autonomy.suppression import PREFIX
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["MAX_BYTES", "parse_policy", "read_policy"]

MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys (the second would silently win) and without aliases (a few can mean millions)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuses an alias before it is followed."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stub lacks it
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed: write it out", event.start_mark)
        return super().compose_node(parent, index)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_policy(path: Path) -> Policy:
    """The policy of a file, without regard to signatures. Raises ConfigError with all problems."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), "", f"cannot be read ({error.strerror}): give the policy's path")]
        ) from error
    return parse_policy(data, file=str(path))


def parse_policy(data: bytes, *, file: str) -> Policy:
    """The policy in these bytes. Raises ConfigError with all problems; ``file`` is how they name the place."""
    written = canonical_bytes(data)
    raw = _load(written, file)
    rules = raw.get("rules", [])
    problems: list[Problem] = []
    kept: list[Rule] = []
    try:
        head = PolicyFile.model_validate({**raw, "rules": []})
    except ValidationError as error:
        head = None
        problems += _told(error, file, "")
    if not isinstance(rules, list):
        problems.append(Problem(file, "rules", "must be a list of rules"))
        rules = []
    for index, entry in enumerate(rules):
        try:
            kept.append(Rule.model_validate(entry))
        except ValidationError as error:
            problems += _told(error, file, f"rules[{index}]")
        else:
            problems += [Problem(file, f"rules[{index}]{key}", text) for key, text in faults(kept[-1])]
            if kept[-1].id.startswith(PREFIX):
                problems.append(
                    Problem(file, f"rules[{index}].id", f"{PREFIX}… is how suppressions are called: rename it")
                )
            if kept[-1].id in {rule.id for rule in kept[:-1]}:
                problems.append(Problem(file, f"rules[{index}].id", f"{kept[-1].id!r} is there twice: rename one"))
    if problems or head is None:
        at = Lines(written, _Loader)
        raise ConfigError([replace(one, message=at.told(one.key, one.message)) for one in problems])
    return Policy(head.policy_id, head.version, hashlib.sha256(written).hexdigest(), tuple(kept))


def _load(written: bytes, file: str) -> dict[str, Any]:
    if len(written) > MAX_BYTES:
        raise ConfigError([Problem(file, "", f"is larger than {MAX_BYTES:,} bytes: split it")])
    try:
        # A SafeLoader: no tag can construct anything.
        raw = yaml.load(written, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as error:
        # ValueError: a timestamp such as 2026-13-01; TypeError: a key that is a list.
        raise ConfigError([Problem(file, "", f"is no YAML: {' '.join(str(error).split())}")]) from error
    if not isinstance(raw, dict):
        raise ConfigError([Problem(file, "", "must be a mapping with policy_id, version and rules")])
    return raw


def _told(error: ValidationError, file: str, prefix: str) -> list[Problem]:
    problems = []
    for entry in error.errors(include_url=False):
        key = prefix
        for part in entry["loc"]:
            key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
        problems.append(Problem(file, key, entry["msg"][:1].lower() + entry["msg"][1:]))
    return problems

"""Writes the generated parts of the documentation from manifests and code; cog calls it (`make docs`)."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.openc2.pairs import DEFAULTS, META, PAIRS
from nightdesk.autonomy.openc2.states import SAID, Status, status_of
from nightdesk.hub.cli.app import app
from nightdesk.hub.cli.coverage import COLUMNS, counted, rows
from nightdesk.hub.config_file import HubConfig
from nightdesk.hub.quality import tier_of
from nightdesk.hub.registry import Registry
from nightdesk.sdk import errors, hookspecs
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.manifest import Action, Manifest, Stream
from nightdesk.sdk.verbs import VERBS, Risk, Verb

__all__ = [
    "cli",
    "commands",
    "config",
    "coverage",
    "decisions",
    "error_tree",
    "hooks",
    "matrix",
    "openc2_pairs",
    "openc2_states",
    "product_count",
    "products",
    "vendors",
    "verbs",
    "verified_verbs",
]


def _table(columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _proof(manifest: Manifest) -> str:
    return "simulated" if manifest.simulated else "verified"


def _shipped() -> Registry:
    """Without what happens to be installed beside us."""
    return Registry.load(strangers=False)


def matrix() -> str:
    """One row a vendor, for the README."""
    registry = _shipped()
    rows = (
        (
            f"[{manifest.title}](connectors/{name}/README.md)",
            f"`{name}`",
            manifest.kind,
            ", ".join([*manifest.pulls, *manifest.receives]),
            ", ".join(f"`{verb}`" for verb in (*manifest.acts, *manifest.writes_back)),
            tier_of(registry.folders[name]),
            _proof(manifest),
        )
        for name, manifest in sorted(registry.manifests.items())
    )
    return _table(("vendor", "name", "kind", "alerts", "actions", "tier", "proof"), rows)


def vendors() -> str:
    """One section a vendor."""
    registry = _shipped()
    return "\n\n".join(
        "\n\n".join(_vendor(name, manifest, tier_of(registry.folders[name])))
        for name, manifest in sorted(registry.manifests.items())
    )


def _vendor(name: str, manifest: Manifest, tier: str) -> Iterator[str]:
    yield f"## {name}"
    yield (
        f"{manifest.title} by {manifest.company}: {manifest.kind}, tier {tier}, {_proof(manifest)}. "
        f"Roles: {', '.join(manifest.roles)}. Credentials: {', '.join(manifest.auth)}. "
        f"Budget: {manifest.limits.requests_per_minute} requests a minute. [Vendor's documentation]({manifest.docs})."
    )
    yield _table(
        ("setting", "type", "needed", "default", "what it is"),
        (
            (
                f"`{key}`",
                setting.type,
                "yes" if setting.required else "",
                "" if setting.default is None else f"`{setting.default}`",
                setting.help,
            )
            for key, setting in manifest.settings.items()
        ),
    )
    streams = (*_streams("pulled", manifest.pulls), *_streams("pushed", manifest.receives))
    yield _table(("stream", "how", "mapped as", "stability", "permission"), iter(streams))
    actions = (*_actions(manifest.acts), *_actions(manifest.writes_back))
    yield _table(("action", "stability", "read back", "undo", "parameters", "permission"), iter(actions))
    if manifest.known_limits:
        yield "Known limits:\n\n" + "\n".join(f"- {_cell(limit)}" for limit in manifest.known_limits)


def _streams(how: str, streams: dict[str, Stream]) -> Iterator[tuple[object, ...]]:
    for name, stream in streams.items():
        yield f"[`{name}`]({stream.docs})", how, f"`{stream.product}`", stream.stability, stream.scope


def _actions(actions: dict[str, Action]) -> Iterator[tuple[object, ...]]:
    for verb, action in actions.items():
        back = action.read_back or f"no: {action.accept_only}"
        way_back = f"`{action.inverse}`" if action.inverse else f"none: {action.irreversible or 'nothing to take back'}"
        yield (
            f"[`{verb}`]({action.docs})",
            action.stability,
            back,
            way_back,
            ", ".join(f"`{name}`" for name in action.parameters),
            action.scope,
        )


def verbs() -> str:
    """Every verb as the code has it."""
    rows = (
        (
            f"`{one.name}`",
            one.target.value,
            one.risk.name,
            f"`{one.inverse}`" if one.inverse else f"none: {one.no_inverse}",
            f"`{one.openc2[0]}:{one.openc2[1]}`",
            ", ".join(one.d3fend),
            ", ".join(f"`{name}`" for name in one.parameters),
            one.role,
        )
        for one in VERBS.values()
    )
    return _table(("verb", "target", "risk", "inverse", "OpenC2", "D3FEND", "parameters", "role"), rows)


def openc2_pairs() -> str:
    """One row a pair: which verbs it stands for, and what tells them apart."""
    meta = {
        ("query", "features"): "what can be done here now",
        ("query", "command"): "how a command stands",
        ("cancel", "command"): "takes back what has not gone out",
    }
    rows: list[tuple[object, ...]] = [
        (f"`{action}:{target}`", meta[(action, target)], "", "") for action, target in META
    ]
    for pair, known in sorted(PAIRS.items()):
        told = " or ".join(f"`{one.name}`" for one in known) if len(known) > 1 else ""
        told += f", else `{DEFAULTS[pair]}`" if pair in DEFAULTS else ""
        parameters = dict.fromkeys(f"`{name}`" for one in known for name in one.parameters)
        verbs_of = ", ".join(f"`{one.name}`" for one in known)
        rows.append((f"`{pair[0]}:{pair[1]}`", verbs_of, told, ", ".join(parameters)))
    return _table(("pair", "verb", "`verb` must say", "further arguments"), iter(rows))


def openc2_states() -> str:
    """One row a state: the status it is told with."""
    rows = (
        (f"`{state}`", int(status_of(state)), SAID[state].format(action="ACTION"))
        for status in Status
        for state in ActionState
        if status_of(state) is status
    )
    return _table(("state", "status", "meaning"), rows)


def verified_verbs() -> str:
    """From R2 up: what shows its effect at each vendor, how it is taken back, and whether it ends by itself."""
    registry = _shipped()
    rows = (
        (f"`{one.name}`", one.risk.name, f"`{name}`", *_effect_and_way_back(one, manifest.action(one.name)))
        for one in VERBS.values()
        if one.risk >= Risk.R2
        for name, manifest in sorted(registry.manifests.items())
        if one.name in (*manifest.acts, *manifest.writes_back)
    )
    return _table(("verb", "risk", "connector", "effect shown by", "taken back by", "vendor's own clock"), rows)


def _effect_and_way_back(one: Verb, action: Action) -> tuple[str, str, str]:
    shown = action.read_back or f"*accept-only*: {action.accept_only}"
    back = f"`{action.inverse}`" if action.inverse else f"nothing: {action.irreversible or one.no_inverse}"
    return shown, back, _clock(action)


def _clock(action: Action) -> str:
    """Why it ends by itself, for how long it can last, and whether the hub keeps it longer."""
    clock = action.own_clock
    if clock is None:
        return "none"
    lasts = f"; at most {clock.most / 86_400:g} days" if clock.most else ""
    return f"{clock.why}{lasts}; {'renewed in time' if clock.renewable else 'not renewed'}"


def config() -> str:
    """Every key of the file, as paths."""
    schema = HubConfig.model_json_schema()
    return _table(("key", "type", "default"), _keys(schema, schema["$defs"], ""))


def _keys(model: dict[str, Any], known: dict[str, Any], before: str) -> Iterator[tuple[object, ...]]:
    for name, spec in model["properties"].items():
        path = f"{before}{name}"
        if "$ref" in spec:
            yield from _keys(_named(spec, known), known, f"{path}.")
            continue
        items = spec.get("additionalProperties")
        if isinstance(items, dict) and "$ref" in items:
            yield from _keys(_named(items, known), known, f"{path}.NAME.")
            continue
        needed = name in model.get("required", ())
        yield f"`{path}`", _type_of(spec), "required" if needed else f"`{_shown(spec.get('default'))}`"


def _named(spec: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = known[spec["$ref"].rpartition("/")[2]]
    return found


def _type_of(spec: dict[str, Any]) -> str:
    if "enum" in spec:
        return ", ".join(spec["enum"])
    if "anyOf" in spec:
        return " or ".join(_type_of(one) for one in spec["anyOf"] if one.get("type") != "null")
    kind = str(spec.get("type", "any"))
    if kind == "array":
        return f"list of {_type_of(spec['items'])}"
    if kind == "object":
        values = spec.get("additionalProperties")
        return f"map to {_type_of(values)}" if isinstance(values, dict) else "map"
    return kind


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return str(value) if value != "" else '""'


def error_tree() -> str:
    """The tree, then one heading an error."""
    tree = (inspect.getdoc(errors) or "").partition("\n\n")[2]
    found = [value for name in errors.__all__ if issubclass(value := getattr(errors, name), NightdeskError)]
    sections = (f"## {error.__name__}\n\n{inspect.getdoc(error)}" for error in found)
    return f"```text\n{tree}\n```\n\n" + "\n\n".join(sections).replace("``", "`")


def hooks() -> str:
    """One heading a hook."""
    specs = (
        (name, function)
        for name, function in vars(hookspecs).items()
        if hasattr(function, f"{hookspecs.NAMESPACE}_spec")
    )
    return "\n\n".join(
        f"## {name}\n\n```python\ndef {name}{inspect.signature(function)}\n```\n\n{inspect.getdoc(function)}".replace(
            "``manifest.yaml``", "`manifest.yaml`"
        )
        .replace("collections.abc.", "")
        .replace("pathlib.", "")
        for name, function in specs
    )


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        if not inner or (command.invoke_without_command and name != "nightdesk"):
            yield name, command
        for key, value in inner.items():
            yield from walk(f"{name} {key}", value)

    return walk("nightdesk", typer.main.get_command(app))


def cli() -> str:
    """One heading a command."""
    return "\n\n".join(_command(name, command) for name, command in commands())


def _command(name: str, command: Any) -> str:
    said = inspect.cleandoc(getattr(command.callback, "__doc__", None) or command.help or "")
    rows = [
        (
            f"`{', '.join(param.opts) if param.param_type_name == 'option' else param.name.upper()}`",
            "yes" if param.required else "",
            getattr(param, "help", "") or "",
        )
        for param in command.params
        if param.name != "help"
    ]
    parts = [f"## {name}", said]
    if rows:
        parts.append(_table(("argument or option", "needed", "what it is"), iter(rows)))
    return "\n\n".join(parts)


def decisions() -> str:
    """One line a decision, by number."""
    folder = Path(__file__).parent / "explanation" / "decisions"
    lines = []
    for path in sorted(folder.glob("[0-9]*.md")):
        title = re.sub(r"^# *[0-9]*[.:]? *", "", path.read_text(encoding="utf-8").partition("\n")[0])
        lines.append(f"- [{int(path.name[:4])}. {title[:1].upper()}{title[1:]}]({path.name})")
    return "\n".join(lines)


def products() -> str:
    """One row a product: what its alerts are called, and which of its forms are read."""
    normalizer = _shipped().normalizer()
    rows = []
    for product in normalizer.products:
        known = [compiled.mapping for compiled in normalizer.mappings(product)]
        first = known[0]
        forms = "; ".join(f"[{mapping.form}]({mapping.docs})" for mapping in known)
        rows.append((first.name + (" (any vendor)" if first.generic else ""), f"`{product}`", forms))
    return _table(("product", "name", "forms"), iter(sorted(rows, key=lambda row: str(row[0]).lower())))


def product_count() -> str:
    """How many products, and how many forms of them."""
    normalizer = _shipped().normalizer()
    forms = sum(len(normalizer.mappings(product)) for product in normalizer.products)
    return f"{len(normalizer.products)} products in {forms} forms"


def coverage() -> str:
    """Where the values of our own invented alerts end; without their repository there are none."""
    accounts, _ = counted([Path("tests/fixtures")])
    return _table(COLUMNS, rows(accounts))

"""Is the folder complete, and does the connector implement exactly what its manifest declares?"""

import importlib
import inspect

import yaml

from nightdesk.sdk import ports
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.manifest import Manifest, validate_settings
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.simulator import Simulator
from nightdesk.sdk.testing.subject import Ground, Subject
from nightdesk.sdk.verbs import TargetKind, verb

__all__ = ["folder_shape", "implemented", "secrets_stay_secret", "settings"]

_FILES = ("manifest.yaml", "connector.py", "simulator.py", "quality.yaml", "README.md", "__init__.py")


async def folder_shape(_: Ground, subject: Subject) -> None:
    """Every file is there and says something; the package gives its connector."""
    missing = [name for name in _FILES if not (subject.folder / name).is_file()]
    assert not missing, f"{subject.folder}: lacks {', '.join(missing)}"
    assert subject.folder.name == subject.manifest.vendor, "the folder is called like the vendor in its manifest"
    assert (subject.folder / "README.md").read_text(encoding="utf-8").startswith("# "), "README.md begins with a title"
    quality = yaml.safe_load((subject.folder / "quality.yaml").read_text(encoding="utf-8"))
    assert isinstance(quality, dict), "quality.yaml is a mapping"
    assert quality.get("rules"), "quality.yaml has rules"
    assert importlib.import_module(subject.package).Connector is subject.connector, "__init__ re-exports Connector"
    assert issubclass(subject.simulator, Simulator), "the simulator derives from nightdesk.sdk.testing.Simulator"
    assert subject.simulator.vendor == subject.manifest.vendor, "the simulator names its vendor"


async def implemented(ground: Ground, subject: Subject) -> None:
    """Declared equals implemented, both ways, for a connector that was really built."""
    manifest = subject.manifest
    async with ground.bench(subject) as bench:
        made = bench.connect()
    declared: tuple[tuple[str, bool, type], ...] = (
        ("pulls", bool(manifest.feeds), ports.Pulls),
        ("receives", bool(manifest.receives), ports.Receives),
        ("acts", bool(manifest.acts), ports.Acts),
        ("writes_back", bool(manifest.writes_back), ports.WritesBack),
        ("reads_one", manifest.reads_one, ports.ReadsOne),
        ("finds_assets", manifest.finds_assets, ports.FindsAssets),
        ("finds_accounts", manifest.finds_accounts, ports.FindsAccounts),
        ("follows_cases", manifest.follows_cases, ports.FollowsCases),
        ("hears_answers", manifest.hears_answers, ports.HearsAnswers),
        ("enriches", bool(manifest.enriches), ports.Enriches),
        ("witnesses", bool(manifest.witnesses), ports.Witnesses),
        ("searches", manifest.searches, ports.Searches),
        ("checks_health", manifest.checks_health, ports.ChecksHealth),
        ("read_back", _reads_back(manifest), ports.ReadsBack),
    )
    wrong = [name for name, said, port in declared if said != isinstance(made, port)]
    assert not wrong, f"declared and implemented differ: {', '.join(wrong)}"
    assert inspect.iscoroutinefunction(made.aclose), "a connector is closed with `await connector.aclose()`"
    on_hosts = [name for name in manifest.acts if verb(name).target is TargetKind.HOST]
    assert manifest.finds_assets or not on_hosts, f"{', '.join(on_hosts)} need finds_assets: a host is never guessed"
    on_accounts = [name for name in manifest.acts if verb(name).target in {TargetKind.ACCOUNT, TargetKind.MEMBERSHIP}]
    assert manifest.finds_accounts or not on_accounts, f"{', '.join(on_accounts)} need finds_accounts"


async def settings(ground: Ground, subject: Subject) -> None:
    """The simulator's settings are valid; the manifest's own examples build a connector that talks to nobody."""
    async with ground.bench(subject) as bench:
        assert bench.given, "Simulator.settings gives settings"
        for name, setting in subject.manifest.settings.items():
            value = bench.simulator.settings(bench.url).get(name)
            assert setting.type != "secret" or value is None or isinstance(value, Secret), f"{name} is a Secret"
    examples = {
        name: Secret.literal("example") if setting.type == "secret" else setting.example
        for name, setting in subject.manifest.settings.items()
        if setting.example is not None or setting.required
    }
    values = validate_settings(subject.manifest, examples, file="manifest.yaml", key="settings")
    made = subject.connector(Context("acme", "example", Settings(values)))
    await made.aclose()


async def secrets_stay_secret(ground: Ground, subject: Subject) -> None:
    """A connector does not show its secrets when it is printed."""
    async with ground.bench(subject) as bench:
        made = bench.connect()
        shown = f"{made!r} {made} {vars(made) if hasattr(made, '__dict__') else ''}"
        assert not any(secret in shown for secret in bench.secrets()), "repr of the connector shows a secret"


def _reads_back(manifest: Manifest) -> bool:
    return any(action.read_back for action in (*manifest.acts.values(), *manifest.writes_back.values()))

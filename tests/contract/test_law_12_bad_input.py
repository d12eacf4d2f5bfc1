"""Law 12: bad input gets an answer that names what, where and what to do, and nothing is half done."""

import asyncio
import types
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.hubs import REGISTRY, a_story_alert, balanced, bind, opened, pullers, working

from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import intake, quarantine
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, MappingError, UnsupportedError
from nightdesk.sdk.hookspecs import hookimpl
from nightdesk.sdk.records import Batch, Failure, RawRecord
from nightdesk.sdk.testing.fake_time import FakeTime

_VENDOR = pullers()[0]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in order; the simulator it names is not asked."""
    return bind(tmp_path, "acme", {"main": (REGISTRY.simulator(_VENDOR)(), "http://127.0.0.1:9")})


def _changed(config: Path, *changes: tuple[str, Any]) -> Path:
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    for path, value in changes:
        *parents, last = path.split(".")
        place = document
        for name in parents:
            place = place[name]
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return config


def _problems(config: Path) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_config(config, REGISTRY)
    assert {problem.file for problem in caught.value.problems} == {str(config)}
    return {problem.key: problem.message for problem in caught.value.problems}


def test_unknown_keys_and_wrong_types_are_told_at_once(config: Path) -> None:
    found = _problems(
        _changed(
            config,
            ("stroe", "sqlite:///x.db"),
            ("http.port", "eighty"),
            ("tenants.acme.quiet_seconds", -1),
            ("tenants.acme.connectors.main.pol_seconds", 5),
            ("tenants.acme.tokens.console.role", "king"),
            ("tenants.acme.name", None),
        )
    )
    assert set(found) == {
        "stroe",
        "http.port",
        "tenants.acme.quiet_seconds",
        "tenants.acme.connectors.main.pol_seconds",
        "tenants.acme.tokens.console.role",
        "tenants.acme.name",
    }
    assert "nightdesk config schema" in found["stroe"]
    assert all(found.values())


def test_what_only_the_manifest_knows_is_told_at_once(config: Path) -> None:
    settings = "tenants.acme.connectors.main.settings"
    manifest = REGISTRY.manifests[_VENDOR]
    secret = next(name for name, spec in manifest.settings.items() if spec.type == "secret" and spec.required)
    url = next(name for name, spec in manifest.settings.items() if spec.type == "url" and spec.required)
    found = _problems(
        _changed(
            config,
            (f"{settings}.surprise", 1),
            (f"{settings}.{url}", "ftp//nowhere"),
            (f"{settings}.{secret}", "env:NIGHTDESK_TEST_NOT_SET"),
            ("tenants.acme.connectors.other", {"vendor": "acme_edr"}),
            ("tenants.acme.connectors.main.pulls", ["dreams"]),
            ("tenants.acme.roles.firewall", "main"),
            ("tenants.acme.roles.mail", "nobody"),
            ("tenants.acme.limits", {"hosts_per_century": 3}),
            ("tenants.acme.tlp", "pink"),
        )
    )
    assert set(found) == {
        f"{settings}.surprise",
        f"{settings}.{url}",
        f"{settings}.{secret}",
        "tenants.acme.connectors.other.vendor",
        "tenants.acme.roles.firewall",
        "tenants.acme.roles.mail",
        "tenants.acme.limits.hosts_per_century",
        "tenants.acme.tlp",
        "tenants.acme.connectors.main.pulls",
    }
    assert "NIGHTDESK_TEST_NOT_SET" in found[f"{settings}.{secret}"]
    assert _VENDOR in found["tenants.acme.connectors.other.vendor"]


def test_a_stream_that_is_not_there_is_named(config: Path) -> None:
    found = _problems(_changed(config, ("tenants.acme.connectors.main.pulls", ["dreams"])))
    assert set(found) == {"tenants.acme.connectors.main.pulls"}
    assert "'dreams'" in found["tenants.acme.connectors.main.pulls"]


def test_a_missing_required_setting_is_named_with_an_example(config: Path) -> None:
    manifest = REGISTRY.manifests[_VENDOR]
    url = next(name for name, spec in manifest.settings.items() if spec.type == "url" and spec.required)
    found = _problems(_changed(config, (f"tenants.acme.connectors.main.settings.{url}", None)))
    assert "is required" in found[f"tenants.acme.connectors.main.settings.{url}"]
    assert str(manifest.settings[url].example) in found[f"tenants.acme.connectors.main.settings.{url}"]


def test_a_secret_written_into_the_file_is_refused_and_not_repeated(config: Path) -> None:
    manifest = REGISTRY.manifests[_VENDOR]
    secret = next(name for name, spec in manifest.settings.items() if spec.type == "secret" and spec.required)
    found = _problems(_changed(config, (f"tenants.acme.connectors.main.settings.{secret}", "hunter2-hunter2")))
    assert "env:NAME" in found[f"tenants.acme.connectors.main.settings.{secret}"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tenants: [", "cannot be read"),
        ("", "valid dictionary"),
        ("- a list", "valid dictionary"),
        ("tenants: {}", "at least 1"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_configuration_says_so(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "nightdesk.yaml"
    path.write_text(text, encoding="utf-8")
    assert said in " ".join(_problems(path).values())


def test_a_file_that_is_missing_says_how_to_make_one(tmp_path: Path) -> None:
    assert "nightdesk init" in " ".join(_problems(tmp_path / "nightdesk.yaml").values())


class _Plugin:
    """A stranger's plugin, as the entry point gives it."""

    def __init__(self, folders: Any) -> None:
        self._folders = folders

    @hookimpl
    def nightdesk_connector_folders(self) -> Any:
        return self._folders() if callable(self._folders) else self._folders


def _fails() -> Any:
    raise RuntimeError("the moon is in the wrong phase")


def test_a_plugin_that_breaks_is_named_and_the_rest_runs() -> None:
    registry = Registry.load(strangers=False, extra={"acme_edr": _Plugin(_fails)})
    assert registry.broken == {"acme_edr": "RuntimeError: the moon is in the wrong phase"}
    assert set(registry.manifests) == set(REGISTRY.manifests)


def test_a_plugin_with_a_bad_manifest_is_named_with_its_problems(tmp_path: Path) -> None:
    folder = tmp_path / "acme_edr"
    folder.mkdir()
    (folder / "manifest.yaml").write_text("vendor: ACME EDR\ntitle: 7\n", encoding="utf-8")
    registry = Registry.load(strangers=False, extra={"acme": _Plugin([("acme_nightdesk.acme_edr", folder)])})
    assert "is no slug" in registry.broken["acme_edr"]
    assert str(folder / "manifest.yaml") in registry.broken["acme_edr"]
    assert set(registry.manifests) == set(REGISTRY.manifests)
    with pytest.raises(UnsupportedError, match=r"left out: .*is no slug"):
        registry.manifest("acme_edr")


def test_a_plugin_without_its_code_is_an_error_that_names_the_module(tmp_path: Path) -> None:
    folder = tmp_path / "acme_edr"
    folder.mkdir()
    text = (REGISTRY.folders[_VENDOR] / "manifest.yaml").read_text(encoding="utf-8")
    (folder / "manifest.yaml").write_text(text.replace(f"vendor: {_VENDOR}", "vendor: acme_edr"), encoding="utf-8")
    registry = Registry.load(strangers=False, extra={"acme": _Plugin([("acme_not_installed.acme_edr", folder)])})
    with pytest.raises(ConfigError, match=r"acme_not_installed.*connector.*cannot be imported"):
        registry.connector("acme_edr", Context("acme", "main", Settings({})))


def test_a_plugin_cannot_take_a_bundled_vendors_place(tmp_path: Path) -> None:
    plugin = _Plugin([("acme_nightdesk.fake", REGISTRY.folders[_VENDOR])])
    registry = Registry.load(strangers=False, extra={"acme": plugin})
    assert registry.packages[_VENDOR] == REGISTRY.packages[_VENDOR]
    assert "already provided" in registry.broken["acme_nightdesk.fake"]


def test_a_plugin_that_is_no_plugin_changes_nothing() -> None:
    registry = Registry.load(strangers=False, extra={"empty": types.ModuleType("empty")})
    assert set(registry.manifests) == set(REGISTRY.manifests)


def _page(hub: Hub, records: list[RawRecord], failures: list[Failure] | None = None) -> None:
    instance = hub.settings.tenants["acme"].instances["main"]
    stream, spec = next(iter(instance.manifest.pulls.items()))
    with hub.store.begin() as conn:
        intake.store_page(
            conn, tenant="acme", instance="main", stream=stream, product=spec.product,
            batch=Batch(records, None, failures or ()), received_at=hub.clock(),
        )  # fmt: skip


@pytest.mark.parametrize("vendor", pullers())
def test_bad_records_are_set_aside_with_a_pointer_and_the_batch_goes_on(vendor: str, tmp_path: Path) -> None:
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    for number in range(3):
        simulator.add(a_story_alert(f"good-{number}", time.clock(), number))
    with working(tmp_path, simulator, time) as hub:

        async def fetch() -> list[RawRecord]:
            connector = hub.bindings.connector("acme", "main")
            stream = next(iter(REGISTRY.manifests[vendor].pulls))
            try:
                return [one async for batch in connector.pull(stream, None, limit=10) for one in batch.records]
            finally:
                await hub.bindings.aclose()

        good = asyncio.run(fetch())
        whole = good[0].payload
        bad = {
            "truncated": whole[: len(whole) // 2],
            "empty": b"",
            "no-json": b"<html>sign in</html>",
            "not-utf8": b'{"a": "\xff\xfe"}',
            "a-list": b"[]",
            "a-number": b"7",
            "not-this-product": b'{"hello": "world"}',
            "deep": b"[" * 5000 + b"]" * 5000,
            "nan": b'{"a": NaN}',
        }
        if not whole.startswith(b"{"):
            del bad["truncated"]  # half a line of text is a line
        mixed = [RawRecord(payload, key, key) for key, payload in bad.items()]
        mixed[4:4] = good
        failure = Failure(b"half a rec", "cut", MappingError("breaks off", pointer="@10", source=vendor))
        _page(hub, mixed, [failure])
        hub.pipeline.step()
        (row,) = balanced(hub.store)
        assert (row.normalised, row.quarantined, row.waiting) == (3, len(bad) + 1, 0)
        with hub.store.read() as conn:
            aside = {one.key: one for one in quarantine.listed(conn, "acme")}
            kept = {one.key: quarantine.one(conn, "acme", one.seq) for one in aside.values()}
        for key, payload in bad.items():
            assert aside[key].reason, key
            assert aside[key].pointer.startswith(("/", "@")), (key, aside[key].pointer)
            stored = kept[key]
            assert stored is not None
            assert stored.payload == payload
        assert "truncated" not in bad or aside["truncated"].pointer.startswith("@")
        (cut,) = (one for key, one in aside.items() if key not in bad)
        assert (cut.pointer, "breaks off" in cut.reason) == ("@10", True)


def test_what_was_set_aside_can_be_put_back_and_is_counted_once(tmp_path: Path) -> None:
    simulator = REGISTRY.simulator(_VENDOR)()
    with opened(bind(tmp_path, "acme", {"main": (simulator, "http://127.0.0.1:9")})) as hub:
        _page(hub, [RawRecord(orjson.dumps({"broken": number}), f"key-{number}") for number in range(3)])
        hub.pipeline.step()
        with hub.store.begin() as conn:
            assert quarantine.replay(conn, "acme", None) == 3
        assert [row.waiting for row in balanced(hub.store)] == [3]
        hub.pipeline.step()
        assert [(row.received, row.quarantined) for row in balanced(hub.store)] == [(3, 3)]

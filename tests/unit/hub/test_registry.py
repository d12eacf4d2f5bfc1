from pathlib import Path

import pytest
from tests.hubs import REGISTRY, VENDORS

from nightdesk.hub.registry import Registry
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, UnsupportedError
from nightdesk.sdk.hookspecs import hookimpl
from nightdesk.sdk.testing import Simulator


class _Folders:
    def __init__(self, connectors: list[tuple[str, Path]], normalizers: list[tuple[str, Path]] | None = None) -> None:
        self._found = connectors, normalizers or []

    @hookimpl
    def nightdesk_connector_folders(self) -> list[tuple[str, Path]]:
        return self._found[0]

    @hookimpl
    def nightdesk_normalizer_folders(self) -> list[tuple[str, Path]]:
        return self._found[1]


def test_every_folder_with_a_manifest_is_a_vendor() -> None:
    import nightdesk.connectors

    root = Path(nightdesk.connectors.__path__[0])
    assert set(VENDORS) == {path.parent.name for path in root.glob("*/manifest.yaml")}
    assert REGISTRY.broken == {}


def test_every_stream_has_a_normaliser() -> None:
    for manifest in REGISTRY.manifests.values():
        for stream in (*manifest.pulls.values(), *manifest.receives.values()):
            assert stream.product in REGISTRY.normalizer_folders, f"{manifest.vendor}: {stream.product}"


def test_a_simulator_belongs_to_its_vendor() -> None:
    for vendor in VENDORS:
        assert issubclass(REGISTRY.simulator(vendor), Simulator)
        assert REGISTRY.simulator(vendor).vendor == vendor


def test_an_unknown_vendor_is_told_what_there_is() -> None:
    with pytest.raises(UnsupportedError, match=VENDORS[0]):
        REGISTRY.manifest("acme_edr")
    with pytest.raises(UnsupportedError):
        REGISTRY.connector("acme_edr", Context("acme", "main", Settings({})))


def test_a_strangers_vendor_joins_the_bundled_ones(tmp_path: Path) -> None:
    folder = tmp_path / "acme_edr"
    folder.mkdir()
    text = (REGISTRY.folders[VENDORS[0]] / "manifest.yaml").read_text(encoding="utf-8")
    (folder / "manifest.yaml").write_text(text.replace(f"vendor: {VENDORS[0]}", "vendor: acme_edr"), encoding="utf-8")
    plugin = _Folders([("acme_nightdesk.acme_edr", folder)], [("acme_edr", folder)])
    registry = Registry.load(strangers=False, extra={"acme": plugin})
    assert set(registry.manifests) == {*VENDORS, "acme_edr"}
    assert registry.normalizer_folders["acme_edr"] == folder
    with pytest.raises(ConfigError, match="acme_nightdesk"):
        registry.simulator("acme_edr")


def test_a_stranger_cannot_replace_a_bundled_normaliser(tmp_path: Path) -> None:
    product = next(iter(REGISTRY.normalizer_folders))
    registry = Registry.load(strangers=False, extra={"acme": _Folders([], [(product, tmp_path)])})
    assert registry.normalizer_folders[product] == REGISTRY.normalizer_folders[product]

import inspect
from pathlib import Path

import pluggy
import pytest

from nightdesk.sdk import hookspecs


class Plugin:
    @hookspecs.hookimpl
    def nightdesk_connector_folders(self) -> list[tuple[str, Path]]:
        return [("acme_nightdesk.connector", Path("connector"))]


def registry(*plugins: object) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    for plugin in plugins:
        manager.register(plugin)
    manager.check_pending()
    return manager


def test_a_plugin_offers_its_folders_and_need_not_implement_every_hook() -> None:
    manager = registry(Plugin(), Plugin())
    assert manager.hook.nightdesk_connector_folders() == [[("acme_nightdesk.connector", Path("connector"))]] * 2
    assert manager.hook.nightdesk_normalizer_folders() == []


def test_a_hook_that_does_not_exist_is_noticed() -> None:
    class Wrong:
        @hookspecs.hookimpl
        def nightdesk_conector_folders(self) -> list[tuple[str, Path]]:
            return []

    with pytest.raises(pluggy.PluginValidationError, match="nightdesk_conector_folders"):
        registry(Wrong())


def test_hooks_are_few_documented_and_carry_our_name() -> None:
    hooks = {
        name: function
        for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
        if function.__module__ == hookspecs.__name__
    }
    assert 1 <= len(hooks) <= 8
    assert all(name.startswith("nightdesk_") and function.__doc__ for name, function in hooks.items())
    assert set(hooks) <= set(hookspecs.__all__)

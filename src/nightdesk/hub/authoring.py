"""Makes a plugin of one's own from the bundled template, which is itself a working plugin of an invented vendor."""

import re
import sys
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["TEMPLATE", "new_plugin", "plugin_at"]

TEMPLATE = "acme_edr"
"""The vendor of the template; its name and title stand in its files wherever a plugin's own go."""

_SLUG = re.compile(r"^[a-z][a-z0-9_]{1,40}$")
_TITLE = "Acme EDR"


def new_plugin(name: str, folder: Path, *, title: str = "") -> list[Path]:
    """Writes the package into ``folder``; gives the files. Raises ConfigError for a name or a folder that is taken."""
    if not _SLUG.match(name):
        raise ConfigError([Problem("plugin new", name, "is no slug; write a-z, 0-9 and _, beginning with a letter")])
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError([Problem(str(folder), "", "is not empty; nothing is overwritten")])
    shown = title or name.replace("_", " ").title()
    written = []
    for path, source in _files(resources.files("nightdesk.plugins") / "author_template", Path()):
        target = folder / _renamed(str(path), name, shown)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(source.read_text(encoding="utf-8"), name, shown), encoding="utf-8")
        written.append(target)
    return sorted(written)


def plugin_at(folder: Path) -> ModuleType:
    """The plugin module of a package that is not installed. Raises ConfigError when there is none."""
    found = sorted(path.parent for path in folder.glob("*/__init__.py") if "hookimpl" in path.read_text("utf-8"))
    if len(found) != 1:
        raise ConfigError(
            [Problem(str(folder), "", f"holds {len(found)} packages with nightdesk's hooks; one is wanted")]
        )
    sys.path.insert(0, str(folder.resolve()))
    return import_module(found[0].name)


def _files(node: Traversable, path: Path) -> list[tuple[Path, Traversable]]:
    if node.is_file():
        return [] if path.suffix == ".pyc" else [(path, node)]
    return [
        pair for child in node.iterdir() if child.name != "__pycache__" for pair in _files(child, path / child.name)
    ]


def _renamed(text: str, name: str, title: str) -> str:
    changed = text.replace(TEMPLATE, name).replace(TEMPLATE.replace("_", "-"), name.replace("_", "-"))
    return changed.replace(_TITLE, title)

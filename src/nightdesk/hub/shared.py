"""The list of what many unrelated parties are behind: the bundled one, and the installation's own beside it."""

import ipaddress
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

from nightdesk.autonomy.selectors import Shared

__all__ = ["bundled", "read_shared"]


@cache
def bundled() -> Shared:
    """What every installation knows."""
    text = (resources.files("nightdesk.hub") / "data" / "shared.txt").read_text(encoding="utf-8")
    networks, hosts, _ = _parted(text.splitlines())
    return Shared(tuple(networks), frozenset(hosts))


def read_shared(folder: Path, name: str | None, wrong: Callable[[str], None]) -> Shared:
    """The bundled list and that file's; tells ``wrong`` which lines are neither network nor host name."""
    known = bundled()
    if name is None:
        return known
    path = folder / name
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        wrong(f"{path}: cannot be read: {error}")
        return known
    networks, hosts, strange = _parted(lines)
    for number, line in strange:
        wrong(f"{path}:{number}: {line!r} is no network or host name")
    return Shared((*known.networks, *networks), known.hosts | set(hosts))


def _parted(lines: list[str]) -> tuple[list[str], list[str], list[tuple[int, str]]]:
    networks: list[str] = []
    hosts: list[str] = []
    strange: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip().lower()
        if not entry:
            continue
        try:
            networks.append(str(ipaddress.ip_network(entry)))
            continue
        except ValueError:
            pass
        if "." in entry and entry.replace(".", "").replace("-", "").isalnum():
            hosts.append(entry.removeprefix("www."))
        else:
            strange.append((number, entry))
    return networks, hosts, strange

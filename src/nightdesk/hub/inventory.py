"""The tenant's inventory: what it says of its hosts and accounts, which is where *protected* and *known* begin."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.matching import in_network
from nightdesk.autonomy.protected import PROTECTED_TYPES

__all__ = ["read_inventory"]


def read_inventory(folder: Path, name: str | None, wrong: Callable[[str], None]) -> dict[str, AssetFacts]:
    """By target (``host:ws-0042``); empty without a file. ``wrong`` is told what cannot be read.

    A CSV with the columns ``hostname`` and ``type``, and if wanted ``tags``, ``ports`` and ``groups`` (separated by
    spaces; groups by semicolons) and ``kind``: ``host`` or ``account``. Two rows of one name are two assets, which no
    machine tells apart.
    """
    found: dict[str, AssetFacts] = {}
    if name is None:
        return found
    try:
        with (folder / name).open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = {"hostname", "type"} - set(rows.fieldnames or ())
            if missing:
                wrong(f"{name}: lacks the column {', '.join(sorted(missing))}")
                return {}
            for row in rows:
                key, facts, problems = _facts(row)
                for problem in problems:
                    wrong(f"{name}:{rows.line_num}: {problem}")
                found[key] = _both(found.get(key), facts)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        wrong(f"{name}: cannot be read: {error}")
    return found


def _facts(row: Mapping[str, str | None]) -> tuple[str, AssetFacts, list[str]]:
    """Its key, what it says, and what is wrong with it."""
    problems = []
    kind = (row.get("kind") or "host").strip()
    name = (row["hostname"] or "").strip().lower().rstrip(".")
    if not name:
        problems.append("names nothing: write its hostname, or the account's name")
    if kind not in {"host", "account"}:
        problems.append(f"kind {kind!r} is neither host nor account")
    ports = (row.get("ports") or "").split()
    if not all(port.isdecimal() for port in ports):
        problems.append(f"ports {' '.join(ports)!r}: write numbers, separated by spaces")
        ports = []
    tags = tuple((row.get("tags") or "").split())
    groups = tuple(filter(None, (group.strip() for group in (row.get("groups") or "").split(";"))))
    whole = kind == "account" or in_network(name, name)  # the dots of an address part no name from a domain
    key = f"{kind}:{name if whole else name.split('.')[0]}"
    return (
        key,
        AssetFacts((row["type"] or "").strip().lower(), tags, groups=groups, ports=tuple(map(int, ports))),
        problems,
    )


def _one_type(before: str, now: str) -> str:
    """Of two rows: what both say, else a protected one, else neither."""
    grave = sorted({before, now} & PROTECTED_TYPES)
    return before if before == now else next(iter(grave), "other")


def _both(before: AssetFacts | None, now: AssetFacts) -> AssetFacts:
    if before is None:
        return now
    return AssetFacts(
        asset_type=_one_type(before.asset_type, now.asset_type),
        tags=tuple(dict.fromkeys((*before.tags, *now.tags))),
        resolves_to=before.resolves_to + 1,
        groups=tuple(dict.fromkeys((*before.groups, *now.groups))),
        ports=tuple(dict.fromkeys((*before.ports, *now.ports))),
    )

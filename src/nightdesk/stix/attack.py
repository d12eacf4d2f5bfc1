"""The ATT&CK table: technique and tactic ids resolved to MITRE's own STIX ids, revoked ones to their successor."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["Technique", "tactic", "technique"]


@dataclass(frozen=True, slots=True)
class Technique:
    """An active technique; ``asked`` is the id that led here (a revoked one leads to its successor)."""

    technique_id: str
    name: str
    stix_id: str
    tactics: tuple[str, ...]
    asked: str


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("nightdesk.stix") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


@cache
def _techniques() -> dict[str, Technique]:
    rows = {row["technique_id"]: row for row in _rows("enterprise-techniques.tsv")}
    table: dict[str, Technique] = {}
    for asked, row in rows.items():
        target = row if row["status"] == "active" else rows.get(row["resolves_to"] or "")
        if target is None or target["status"] != "active":
            continue
        tactics = tuple(part for part in target["tactics"].split(",") if part)
        table[asked] = Technique(target["technique_id"], target["name"], target["stix_id"], tactics, asked)
    return table


@cache
def _tactics() -> dict[str, str]:
    names: dict[str, str] = {}
    for row in _rows("enterprise-tactics.tsv"):
        for key in (row["tactic_id"], row["shortname"], row["former_shortname"], row["name"]):
            if key:
                names[key.lower().replace(" ", "-")] = row["tactic_id"]
    return names


def technique(text: str) -> Technique | None:
    """The active technique of an id such as T1059.001; None for what is none (vendors mix in ids of their own)."""
    return _techniques().get(text.strip().upper())


def tactic(text: str) -> str | None:
    """The TA id of a tactic given by id, short name, former short name or title."""
    return _tactics().get(text.strip().lower().replace(" ", "-"))

"""Options of the commands that write STIX for others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nightdesk.hub.cli.output import fail

__all__ = ["AttackFile", "Outgoing", "ProfileName", "RawUrl", "outgoing"]

ProfileName = Annotated[
    str, typer.Option("--profile", help="Who the STIX is for: canonical, opencti, misp or evidence.")
]
AttackFile = Annotated[
    Path | None,
    typer.Option("--attack", help="evidence: MITRE's enterprise-attack.json; its techniques are carried."),
]
RawUrl = Annotated[
    str, typer.Option("--raw-url", help="evidence: where a raw event over 64 KiB can be had; {sha256} is filled in.")
]

_Objects = Sequence[Mapping[str, Any]]
Outgoing = Callable[[_Objects, Mapping[str, bytes]], list[dict[str, Any]]]
"""A bundle's objects and the raw events by SHA-256, to the objects that are written."""


def outgoing(name: str, attack: Path | None, raw_url: str, as_json: bool) -> Outgoing:
    """What a bundle's objects go through. Raises ConfigError for a wrong file."""
    from nightdesk.stix.egress import PROFILES, Sources, attack_file, profiled
    from nightdesk.stix.scope import EXTENSION

    if name not in PROFILES:
        fail(f"no profile {name!r}: write one of {', '.join(PROFILES)}", code=2, as_json=as_json)
    if (attack or raw_url) and name != "evidence":
        fail(f"--attack and --raw-url are of --profile evidence, not of {name}", code=2, as_json=as_json)
    known = attack_file(attack) if attack else {}

    def made(objects: _Objects, raw: Mapping[str, bytes]) -> list[dict[str, Any]]:
        found = profiled(name, objects, Sources(raw=raw, raw_url=raw_url, attack=known))
        alerts = [entry["extensions"][EXTENSION["alert"]] for entry in found if entry["type"] == "incident"]
        left = [alert for alert in alerts if "artifact_ref" not in alert["raw"]] if name == "evidence" else []
        if left:
            what = f"{len(left)} raw events are not carried, only their hashes (too large or not kept)"
            typer.echo(f"{what}; --raw-url says where they can be had", err=True)
        return found

    return made

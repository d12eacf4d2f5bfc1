"""A tenant as STIX sees it: its key, its marking, its standing identities, and what every bundle begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

from nightdesk.stix.ids import TenantKey

__all__ = ["EXTENSION", "FIXED_CREATED", "INCIDENT_CORE", "TLP", "Scope", "preamble"]

FIXED_CREATED: Final = "2000-01-01T00:00:00.000Z"
"""``created`` of every object that alerts share: identities, indicators, malware, courses of action.

Earlier than any alert, so that ``modified`` can be the alert's own time, that of an old one too (decision 0004).
"""

EXTENSION: Final[Mapping[str, str]] = {
    "alert": "extension-definition--8da71b94-3ee3-45d4-a0b6-56e10e17730a",
    "case": "extension-definition--7cc5e104-0bce-46d3-9111-22ac8cd3e902",
    "decision": "extension-definition--0708654c-06b3-4d6a-aeae-65b951596050",
    "action": "extension-definition--4354589d-3d68-4470-82a6-194dd47dcb9a",
    "asset": "extension-definition--12b7aa5d-622b-45c7-8a0c-ea67f09dda22",
    "observation": "extension-definition--20c24470-7e53-4a17-93f2-be348fbd7ee5",
}
INCIDENT_CORE: Final = "extension-definition--ef765651-680c-498d-9894-99799f2fa126"

TLP: Final[Mapping[str, str]] = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}


@cache
def preamble() -> Mapping[str, dict[str, Any]]:
    """The project's identity, the six extension definitions and the TLP 2.0 markings, by id."""
    text = (resources.files("nightdesk.stix") / "data" / "preamble.json").read_bytes()
    return {entry["id"]: entry for entry in orjson.loads(text)["objects"]}


@dataclass(frozen=True)
class Scope:
    """One tenant. ``name`` is what people read, ``slug`` what configuration and ids of the hub use."""

    slug: str
    name: str
    key: TenantKey
    tlp: str = "amber+strict"
    marking: tuple[str, ...] = field(init=False)
    hub_ref: str = field(init=False)
    autonomy_ref: str = field(init=False)
    tenant_ref: str = field(init=False)
    _heads: dict[tuple[bool, bool], tuple[dict[str, Any], ...]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.slug or not self.name:
            raise ValueError("a tenant is always named")
        if self.tlp not in TLP:
            raise ValueError(f"tlp {self.tlp!r} is not one of {', '.join(TLP)}")
        object.__setattr__(self, "marking", (TLP[self.tlp],))
        object.__setattr__(self, "hub_ref", self.key.id("identity", "hub", self.name))
        object.__setattr__(self, "autonomy_ref", self.key.id("identity", "autonomy", self.name))
        object.__setattr__(self, "tenant_ref", self.key.id("identity", "tenant", self.name))

    @property
    def marks(self) -> list[str]:
        """``object_marking_refs`` of everything this tenant owns."""
        return list(self.marking)

    def identity(self, ref: str, name: str, identity_class: str, modified: str = FIXED_CREATED) -> dict[str, Any]:
        """One standing identity; shared by alerts, so its ``created`` is fixed."""
        return {
            "type": "identity",
            "spec_version": "2.1",
            "id": ref,
            "created_by_ref": self.hub_ref,
            "created": FIXED_CREATED,
            "modified": modified,
            "name": name,
            "identity_class": identity_class,
            "object_marking_refs": list(self.marking),
        }

    def standing(self, *, autonomy: bool = False) -> list[dict[str, Any]]:
        """Hub, tenant and (for decisions) autonomy."""
        objects = [
            self.identity(self.hub_ref, f"nightdesk hub ({self.name})", "system"),
            self.identity(self.tenant_ref, self.name, "organization"),
        ]
        if autonomy:
            objects.append(self.identity(self.autonomy_ref, f"nightdesk autonomy ({self.name})", "system"))
        return objects

    def head(self, *, assets: bool, observed: bool) -> tuple[dict[str, Any], ...]:
        """What the bundle of every alert begins with; shared by all of them and never changed."""
        known = self._heads.get((assets, observed))
        if known is None:
            used = ["alert", *(["asset"] if assets else []), *(["observation"] if observed else [])]
            known = self._heads[assets, observed] = (*self.opening(*used), *self.standing())
        return known

    def opening(self, *extensions: str) -> list[dict[str, Any]]:
        """What a bundle file begins with: the marking, the project, the extension definitions it uses."""
        known = preamble()
        project = known[EXTENSION["alert"]]["created_by_ref"]
        return [known[self.marking[0]], known[project], *(known[EXTENSION[name]] for name in extensions)]

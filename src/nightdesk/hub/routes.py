"""One vendor account that serves many tenants: which tenant each alert is for, by what the alert itself says.

A rule looks at one place of the payload. An alert that no rule names, or that two tenants are named for, is nobody's:
it is set aside at the account's owner and never given to the first best (law 3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from nightdesk.sdk.errors import MappingError
from nightdesk.sdk.records import Batch, Failure, RawRecord

__all__ = ["Route", "RouteConfig", "Routed", "sort_out"]


class RouteConfig(BaseModel):
    """Which tenant an alert of a shared account is for, as the configuration says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1)]
    values: Annotated[list[str], Field(min_length=1)]
    tenant: str


@dataclass(frozen=True, slots=True)
class Route:
    """Alerts whose value at ``path`` (dots part the keys; lists are looked into) fits one of ``values`` are a tenant's.

    ``*`` and ``?`` in a value stand for any letters and one letter; case matters, as ids do.
    """

    path: str
    values: tuple[str, ...]
    tenant: str

    def fits(self, document: Any) -> bool:
        """Whether the alert is meant."""
        found = [str(value) for value in _at(document, self.path.split(".")) if isinstance(value, str | int)]
        return any(fnmatchcase(value, pattern) for value in found for pattern in self.values)


@dataclass(frozen=True, slots=True)
class Routed:
    """A page, parted: records by tenant, and what is nobody's."""

    by_tenant: dict[str, list[RawRecord]]
    nobodys: tuple[Failure, ...]


def sort_out(batch: Batch, routes: Sequence[Route]) -> Routed:
    """Gives every record of the page to the one tenant that the rules name."""
    by_tenant: dict[str, list[RawRecord]] = {}
    nobodys = list(batch.failures)
    for record in batch.records:
        tenants = _named(record, routes)
        if len(tenants) == 1:
            by_tenant.setdefault(tenants.pop(), []).append(record)
            continue
        said = f"the rules name {', '.join(sorted(tenants))}" if tenants else "no rule names a tenant for it"
        paths = ", ".join(dict.fromkeys(route.path for route in routes))
        error = MappingError(f"{said}; they look at {paths}", pointer="/", source=record.product)
        nobodys.append(Failure(record.payload, record.key or sha256(record.payload).hexdigest(), error, "/"))
    return Routed(by_tenant, tuple(nobodys))


def _named(record: RawRecord, routes: Iterable[Route]) -> set[str]:
    try:
        document = orjson.loads(record.payload)
    except orjson.JSONDecodeError:
        return set()
    return {route.tenant for route in routes if route.fits(document)}


def _at(node: Any, keys: Sequence[str]) -> Iterable[Any]:
    if isinstance(node, list):
        for item in node:
            yield from _at(item, keys)
    elif not keys:
        yield node
    elif isinstance(node, dict):
        yield from _at(node.get(keys[0]), keys[1:])

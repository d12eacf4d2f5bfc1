r"""What the inventory says of a target under its other names: warnings, so that no spelling gets round a tag.

A row may say ``core-sw`` where an alert says ``core-sw.corp.example.com``, or ``bg-admin`` where a command says
``CORP\bg-admin``. That a thing of some such name is known makes this one no better known.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.matching import in_network
from nightdesk.autonomy.protected import PLAIN_TYPES, PROTECTED_TYPES
from nightdesk.autonomy.spelling import account_name, plain, words
from nightdesk.sdk.case import Entity
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Namesakes"]

_FACTS = {"host": ("hostname", "fqdn", "address"), "account": ("name", "login", "uid", "email", "sid")}
"""Where else a thing's names stand, by its kind."""


class Namesakes:
    """One tenant's inventory by the names that its rows may go by elsewhere; ``hosts`` is how many hosts it lists."""

    def __init__(self, assets: Mapping[str, AssetFacts]) -> None:
        self._assets = assets
        self._accounts: dict[str, list[str]] = {}
        self._vips: set[tuple[str, str]] = set()
        self.hosts = 0
        for key, facts in assets.items():
            kind, _, name = key.partition(":")
            if any("vip" in words(tag) for tag in facts.tags):
                self._vips.add((kind, _other_name(kind, name)))
            if kind == TargetKind.ACCOUNT:
                self._accounts.setdefault(account_name(name), []).append(key)
            self.hosts += kind == TargetKind.HOST

    def warned(self, felt: Target, told: AssetFacts | None) -> AssetFacts | None:
        """What the connector told, with the warnings of every row that may mean the same thing."""
        if felt.kind not in {TargetKind.HOST, TargetKind.ACCOUNT}:
            return told
        keys = sorted(set(self._keys(felt, told)) - {felt.key, felt.key.lower()})
        return _joined(told, (self._assets[key] for key in keys if key in self._assets))

    def vips(self, entities: Iterable[Entity]) -> tuple[str, ...]:
        """The keys of those that a row with the tag *vip* may mean."""
        if not self._vips:
            return ()
        found = {
            one.key
            for one in entities
            if any(
                (one.kind.value, _other_name(one.kind.value, name)) in self._vips
                for name in (
                    one.value,
                    *(one.facts[fact] for fact in _FACTS.get(one.kind.value, ()) if fact in one.facts),
                )
            )
        }
        return tuple(sorted(found))

    def _keys(self, felt: Target, told: AssetFacts | None) -> Iterator[str]:
        names = {
            felt.value,
            *(felt.facts.get(fact, "") for fact in _FACTS[felt.kind.value]),
            *(told.names if told else ()),
        } - {""}
        for name in names:
            if felt.kind is TargetKind.ACCOUNT:
                yield from self._accounts.get(account_name(name), ())
            else:
                # An address is a row of its own, and its dots part no name from a domain.
                yield from (f"host:{name.lower()}", f"host:{name.partition('.')[0].lower()}")


def _other_name(kind: str, name: str) -> str:
    """What two names of one thing have in common; the dots of an address part no name from a domain."""
    if kind == TargetKind.ACCOUNT:
        return account_name(name)
    return plain(name) if in_network(name, name) else plain(name).partition(".")[0]


def _joined(told: AssetFacts | None, maybe: Iterable[AssetFacts]) -> AssetFacts | None:
    for one in maybe:
        base = told or AssetFacts(asked=False)
        told = replace(
            base,
            asset_type=max(base.asset_type, one.asset_type, key=_graver),
            tags=(*base.tags, *one.tags),
            ports=(*base.ports, *one.ports),
            groups=(*base.groups, *one.groups),
            privileged=base.privileged or one.privileged,
            resolves_to=max(base.resolves_to, one.resolves_to),
        )
    return told


def _graver(asset_type: str) -> int:
    """A plain type says nothing against; of two that weigh the same the connector's stays."""
    if asset_type in PROTECTED_TYPES:
        return 2
    return int(asset_type not in {"", "other", *PLAIN_TYPES})

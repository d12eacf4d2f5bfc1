"""`nightdesk coverage`: where the values of alerts ended, per product and form."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.output import Json, emit, fail, table, troubles

if TYPE_CHECKING:
    from nightdesk.stix.accounting import Account

__all__ = ["COLUMNS", "counted", "coverage", "rows"]

_GOLDEN = (".stix.json", ".loss.json")
_LOST = 1
COLUMNS = (
    "product",
    "form",
    "alerts",
    "values",
    "standard",
    "extension",
    "vendor field",
    "translated",
    "ignored",
    "lost",
)


def coverage(
    files: Annotated[list[Path], typer.Argument(help="Alert files, or folders of them; golden files are passed over.")],
    product: Annotated[str, typer.Option("--product", help="A product slug, or auto.")] = "auto",
    write: Annotated[Path | None, typer.Option("--write", help="Also write the table there, as Markdown.")] = None,
    as_json: Json = False,
) -> None:
    """Where each value of these alerts ended: a standard STIX property, an extension, ignored, lost.

    Exit 0: nothing lost. 1: some values are read by no mapping (the paths are named).
    """
    with troubles(as_json):
        accounts, aside = counted(files, product)
    if not accounts and not aside:
        fail("no alert in these files", code=2, as_json=as_json)
    lost = {key: account.lost for key, account in accounts.items() if account.lost}
    if write is not None:
        write.write_text(_markdown(accounts), encoding="utf-8")
    if as_json:
        emit({"streams": [_plain(key, account) for key, account in accounts.items()], "quarantined": aside})
    else:
        table("", COLUMNS, list(rows(accounts)))
        for (slug, stream), paths in lost.items():
            for path, count in paths.most_common():
                typer.echo(f"lost: {slug}/{stream} {path} ({count})")
        for line in aside:
            typer.echo(f"quarantined: {line}")
    if lost or aside:
        raise typer.Exit(_LOST)


def counted(files: Iterable[Path], product: str = "auto") -> "tuple[dict[tuple[str, str], Account], list[str]]":
    """(accounts by product and stream, what could not be normalised)."""
    from nightdesk.hub.registry import Registry
    from nightdesk.stix.accounting import Account
    from nightdesk.stix.files import Refused, read_alerts
    from nightdesk.stix.ids import TenantKey
    from nightdesk.stix.scope import Scope

    normalizer = Registry.load().normalizer()
    scope = Scope("coverage", "coverage", TenantKey.derived("coverage"))
    accounts: dict[tuple[str, str], Account] = {}
    aside: list[str] = []
    for file in _walked(files):
        for _, found in read_alerts(normalizer, product, file.read_bytes(), scope, source=file.name):
            if isinstance(found, Refused):
                aside.append(f"{file} {found.pointer}: {found.reason}")
            else:
                accounts.setdefault((found.loss.product, found.loss.stream), Account()).add(found)
    return dict(sorted(accounts.items())), aside


def _walked(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            inner = sorted(path for path in file.rglob("*") if path.suffix in {".json", ".txt", ".ndjson", ".log"})
            yield from (path for path in inner if not path.name.endswith(_GOLDEN))
        else:
            yield file


def rows(accounts: "Mapping[tuple[str, str], Account]") -> Iterator[tuple[object, ...]]:
    """One a product and form, and the median of each share last."""
    import statistics

    from nightdesk.stix.accounting import PLACES

    for (product, stream), account in accounts.items():
        shares = (f"{account.share(place):.0%}" for place in PLACES[:-1])
        yield (product, stream, account.alerts, account.leaves, *shares, account.places["lost"])
    if len(accounts) > 1:
        middle = [
            f"{statistics.median(account.share(place) for account in accounts.values()):.0%}" for place in PLACES[:-1]
        ]
        alerts, leaves = (sum(getattr(a, name) for a in accounts.values()) for name in ("alerts", "leaves"))
        yield ("median of shares", "", alerts, leaves, *middle, sum(a.places["lost"] for a in accounts.values()))


def _markdown(accounts: "Mapping[tuple[str, str], Account]") -> str:
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows(accounts)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _plain(key: tuple[str, str], account: "Account") -> dict[str, Any]:
    from nightdesk.stix.accounting import PLACES

    return {
        "product": key[0], "stream": key[1], "alerts": account.alerts, "leaves": account.leaves,
        "leaves_by_place": {place: account.places[place] for place in PLACES},
        "shares": {place: round(account.share(place), 4) for place in PLACES},
        "lost_paths": dict(account.lost), "wrong_values": account.wrong,
    }  # fmt: skip

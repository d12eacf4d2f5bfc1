"""Commands on alerts: normalise files, see and replay the quarantine, balance the ledger."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightdesk.hub.cli.egress import AttackFile, Outgoing, ProfileName, RawUrl, outgoing
from nightdesk.hub.cli.output import ConfigFile, Json, TenantName, emit, fail, table, troubles

if TYPE_CHECKING:
    from nightdesk.stix.bundle import Versions
    from nightdesk.stix.normalize import Normalized, Normalizer
    from nightdesk.stix.scope import Scope

__all__ = ["ledger", "normalize", "quarantine_app"]

_DEFAULT = Path("nightdesk.yaml")
_SOME_QUARANTINED = 3


def normalize(
    product: Annotated[str, typer.Argument(help="A product slug, or auto: recognised from the payload.")],
    files: Annotated[
        list[Path], typer.Argument(help="Alerts: one object, an array, an API page, NDJSON, syslog lines.")
    ],
    tenant: TenantName,
    out: Annotated[Path, typer.Option("--out", help="Folder for NAME.bundle.json and NAME.loss.json.")],
    profile: ProfileName = "canonical",
    attack: AttackFile = None,
    raw_url: RawUrl = "",
    strict: Annotated[bool, typer.Option("--strict", help="Set an alert aside that no mapping reads whole.")] = False,
    as_json: Json = False,
) -> None:
    """Normalises files to STIX 2.1 bundles; needs no configuration and no store.

    Exit 0: all normalised. 3: some quarantined (quarantine.ndjson names where and why). 2: bad usage.
    """
    from rich.progress import track

    from nightdesk.hub.registry import Registry
    from nightdesk.stix.bundle import Versions
    from nightdesk.stix.ids import TenantKey
    from nightdesk.stix.normalize import AUTO, UNMAPPED
    from nightdesk.stix.scope import Scope

    if not tenant.strip():
        fail("--tenant is empty: a tenant is always named", code=2, as_json=as_json)
    with troubles(as_json):
        normalizer = Registry.load().normalizer()
        if product not in {AUTO, UNMAPPED, *normalizer.products}:
            there = ", ".join(normalizer.products)
            fail(f"no product {product!r}: write auto or one of {there}", code=2, as_json=as_json)
        _usable(files, as_json)
        sent = outgoing(profile, attack, raw_url, as_json)
        out.mkdir(parents=True, exist_ok=True)
        scope = Scope(tenant, tenant, TenantKey.derived(tenant))
        typer.echo(f"tenant key derived from the name {tenant!r} (no configuration): ids are guessable", err=True)
        versions = Versions()
        done: list[dict[str, Any]] = []
        set_aside: list[dict[str, Any]] = []
        shown = files if as_json or len(files) < 10 else track(files, description="normalising", transient=True)
        for file in shown:
            raw: dict[str, bytes] = {}
            good, bad = _one(normalizer, product, file, scope, raw, strict=strict)
            set_aside += bad
            if good:
                done.append(_write(out, file, scope, good, sent, raw, versions))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in set_aside)
        kept = out / "quarantine.ndjson"
        if lines or kept.exists():
            kept.write_text(lines, encoding="utf-8")
    summary = {
        "normalised": sum(row["alerts"] for row in done),
        "quarantined": len(set_aside),
        "files": done,
        "quarantine": set_aside,
        "later_versions": versions.moved,
    }
    if as_json:
        emit(summary)
    else:
        rows = [(row["file"], row["product"], row["objects"], row["read"], row["lost"], row["wrong"]) for row in done]
        table("", ("file", "product", "objects", "read", "lost", "wrong"), rows)
        for row in set_aside:
            typer.echo(f"quarantined: {row['file']} {row['pointer']}: {row['reason']}")
        if versions.moved:
            typer.echo(f"{versions.moved} objects got a later version: this run has another content for the same one")
        typer.echo(f"{summary['normalised']} normalised, {summary['quarantined']} quarantined")
    if set_aside:
        raise typer.Exit(_SOME_QUARANTINED)


def _usable(files: list[Path], as_json: bool) -> None:
    stems: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            fail(f"{file}: no such file", code=2, as_json=as_json)
        if file.stem in stems:
            fail(
                f"{file} and {stems[file.stem]} have one name: {file.stem}",
                code=2,
                as_json=as_json,
            )
        stems[file.stem] = file


def _one(
    normalizer: "Normalizer", product: str, file: Path, scope: "Scope", raw: dict[str, bytes], *, strict: bool
) -> tuple[list["Normalized"], list[dict[str, Any]]]:
    from nightdesk.stix.files import Refused, read_alerts

    good: list[Normalized] = []
    bad: list[dict[str, Any]] = []
    for payload, found in read_alerts(normalizer, product, file.read_bytes(), scope, source=file.name, strict=strict):
        if isinstance(found, Refused):
            bad.append({"file": str(file), "pointer": found.pointer, "reason": found.reason})
        else:
            good.append(found)
            raw[hashlib.sha256(payload).hexdigest()] = payload
    return good, bad


def _write(  # one file of a run
    out: Path, file: Path, scope: "Scope", good: list["Normalized"], sent: Outgoing, raw: dict[str, bytes],
    versions: "Versions",
) -> dict[str, Any]:  # fmt: skip
    from nightdesk.stix.bundle import bundle_bytes, merge

    settled = [versions.settled(item.objects) for item in good]
    objects = sent(merge(settled) if len(settled) > 1 else settled[0], raw)
    (out / f"{file.stem}.bundle.json").write_bytes(bundle_bytes(scope, objects))
    reports = [item.loss.to_json() for item in good]
    loss: Any = reports[0] if len(reports) == 1 else {"alerts": reports}
    (out / f"{file.stem}.loss.json").write_text(json.dumps(loss, indent=1, ensure_ascii=False), encoding="utf-8")
    return {
        "file": str(file),
        "product": good[0].product,
        "form": good[0].form,
        "alerts": len(good),
        "objects": len(objects),
        "read": sum(item.loss.read for item in good),
        "ignored": sum(sum(item.loss.ignored.values()) for item in good),
        "lost": sum(len(item.loss.lost) for item in good),
        "wrong": sum(len(item.loss.wrong) for item in good),
    }


quarantine_app = typer.Typer(help="Alerts that could not be normalised: kept, shown, replayable.")


@quarantine_app.callback(invoke_without_command=True)
def _quarantine(
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose data; there is no default.")] = "",
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Lists what is set aside."""
    if context.invoked_subcommand:
        return
    if not tenant:
        fail("--tenant is required: a tenant is always named", code=2, as_json=as_json)
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.store import quarantine

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        rows = quarantine.listed(conn, tenant)
    if as_json:
        emit([{name: value for name, value in _row(row).items() if name != "payload"} for row in rows])
    else:
        shown = [(row.seq, row.instance, row.stream, row.key, row.pointer, row.reason) for row in rows]
        table(f"{len(rows)} quarantined for {tenant}", ("id", "connector", "stream", "key", "where", "why"), shown)


def _row(row: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return dict(asdict(row))


@quarantine_app.command("replay")
def _replay(
    tenant: TenantName,
    ids: Annotated[list[int] | None, typer.Argument(help="Which; all when none is named.")] = None,
    config: ConfigFile = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Puts set-aside alerts back in line, after a mapping was mended."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.store import quarantine

    with troubles(as_json), opened(config, tenant) as (_, store), store.begin() as conn:
        count = quarantine.replay(conn, tenant, ids or None)
    if as_json:
        emit({"replayed": count})
    else:
        typer.echo(f"{count} back in line; a running hub takes them up at once")


def ledger(tenant: TenantName, config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Received = normalised + duplicate + quarantined + waiting, per connector and stream. Exit 1 when it is not."""
    from nightdesk.hub.cli.opening import opened
    from nightdesk.hub.store import ledger as books

    with troubles(as_json), opened(config, tenant) as (_, store), store.read() as conn:
        rows = books.ledger(conn, tenant)
    balanced = all(row.balanced for row in rows)
    names = ("instance", "stream", "received", "normalised", "duplicate", "quarantined", "waiting", "balanced")
    if as_json:
        emit([{name: getattr(row, name) for name in names} for row in rows])
    else:
        table(f"ledger of {tenant}", names, [[getattr(row, name) for name in names] for row in rows])
    if not balanced:
        fail("the ledger does not balance", as_json=False)

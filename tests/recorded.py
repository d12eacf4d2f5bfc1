"""A store that a hub recorded and closed, to be read, replayed and tampered with."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from tests.hubs import REGISTRY, run_cli
from tests.pasts import RULES_THEN, lived

from nightdesk.autonomy.signing import keygen
from nightdesk.hub.config import load_config
from nightdesk.hub.record.replaying import Replayed, replay_all
from nightdesk.hub.record.then import PoliciesThen
from nightdesk.hub.setup import sign_policy
from nightdesk.hub.store import Store
from nightdesk.sdk.context import utc_now

__all__ = ["decide_by", "recorded", "replayed", "tamper", "verified"]


def recorded(folder: Path, *, alerts: int = 10, policy: bytes = RULES_THEN) -> Path:
    """The configuration of a tenant, acme, whose hub lived and is stopped."""
    with lived(folder, alerts=alerts, policy=policy) as (_, config, _time):
        return config


def replayed(config: Path, *files: Path, only: str = "", since: datetime | None = None) -> list[Replayed]:
    """Every decision made again, or the one named."""
    settings = load_config(config, REGISTRY)
    store = Store.open(settings.store)
    tenant = settings.tenants["acme"]
    try:
        policies = PoliciesThen(tenant, files)
        return list(replay_all(store, tenant, policies, REGISTRY.normalizer, since=since, only=only))
    finally:
        store.close()


def verified(config: Path) -> tuple[int, str]:
    """What ``decisions verify`` says: exit code and text."""
    told = run_cli("decisions", "verify", "--tenant", "acme", "--config", config)
    return told.exit_code, told.output


def tamper(config: Path, query: str, change: Callable[[Any], Any], update: str) -> None:
    """One value changed under the hub's feet: ``query`` selects (rowid, value), ``update`` sets it."""
    with closing(sqlite3.connect(config.parent / "nightdesk.db")) as conn:
        row, value = conn.execute(query).fetchone()
        assert change(value) != value
        conn.execute(update, (change(value), row))
        conn.commit()


def decide_by(config: Path, policy: bytes, signer: str = "lead") -> None:
    """The configuration names another policy, signed by a new person alone: who signed before is no signer now."""
    folder = config.parent
    key = keygen()
    (folder / f"{signer}.pem").write_bytes(key.private_pem)
    (folder / f"{signer}.pub").write_bytes(key.public_pem)
    file = folder / f"by-{signer}.yaml"
    file.write_bytes(policy)
    sign_policy(file, folder / f"{signer}.pem", signer, at=utc_now())
    whole = yaml.safe_load(config.read_text())
    whole["tenants"]["acme"] |= {"policy": file.name, "signers": {signer: f"{signer}.pub"}}
    config.write_text(yaml.safe_dump(whole))

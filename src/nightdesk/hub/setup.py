"""Makes a new configuration: keys, a signer, a starter policy, tokens; nothing that exists is overwritten."""

import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from nightdesk.autonomy.signing import add_signature, keygen, load_private_key, sidecar_of, sign
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["make_config", "private_file", "sign_policy", "starter_policy"]


def private_file(path: Path, data: bytes) -> None:
    """Writes a new file that only its owner reads. Raises ConfigError when it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError([Problem(str(path), "", "is there already; it is not overwritten")]) from error
    with os.fdopen(handle, "wb") as out:
        out.write(data)


def starter_policy(name: str = "starter") -> bytes:
    """A bundled policy by name."""
    return (resources.files("nightdesk.autonomy") / "policies" / f"{name}.yaml").read_bytes()


def sign_policy(policy: Path, key: Path, signer: str, *, at: datetime) -> None:
    """Adds a person's signature beside the policy."""
    private = load_private_key(key.read_bytes(), file=str(key))
    beside = sidecar_of(policy)
    known = beside.read_bytes() if beside.exists() else None
    beside.write_bytes(add_signature(known, sign(policy.read_bytes(), private, signer, at=at), file=str(beside)))


def make_config(
    folder: Path,
    tenant: str,
    name: str,
    *,
    at: datetime,
    signers: tuple[str, ...] = ("owner",),
    policy: bytes | None = None,
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Writes nightdesk.yaml and what it refers to; returns its path. Raises ConfigError when one exists."""
    config = folder / "nightdesk.yaml"
    if config.exists():
        raise ConfigError([Problem(str(config), "", "is there already; it is not overwritten")])
    private_file(folder / "secrets" / f"{tenant}.key", f"{secrets.token_hex(32)}\n".encode())
    private_file(folder / "secrets" / f"{tenant}.console", f"{secrets.token_urlsafe(24)}\n".encode())
    rules = folder / "policies" / f"{tenant}.yaml"
    rules.parent.mkdir(parents=True, exist_ok=True)
    rules.write_bytes(policy if policy is not None else starter_policy())
    if policy is None:
        (rules.parent / f"{tenant}.tests.yaml").write_bytes(starter_policy("starter.tests"))
    for signer in signers:
        pair = keygen()
        private_file(folder / "secrets" / f"{signer}.pem", pair.private_pem)
        (rules.parent / f"{signer}.pub").write_bytes(pair.public_pem)
        sign_policy(rules, folder / "secrets" / f"{signer}.pem", signer, at=at)
    document = {
        "store": "sqlite:///nightdesk.db",
        "http": {"host": "127.0.0.1", "port": 8600},
        "tenants": {
            tenant: {
                "name": name,
                "key": f"file:secrets/{tenant}.key",
                "policy": f"policies/{tenant}.yaml",
                "signers": {signer: f"policies/{signer}.pub" for signer in signers},
                "tokens": {"console": {"role": "analyst", "secret": f"file:secrets/{tenant}.console"}},
                "connectors": {},
                "roles": {},
                **(more or {}),
            }
        },
    }
    config.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return config

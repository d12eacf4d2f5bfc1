"""Laws 4 and 6 at a real CrowdSec: a leased block, a killed hub, a restart after the lease: unblocked, read back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.hubs import REGISTRY, run_cli
from tests.servers.crowdsec import Lapi, lapi

from nightdesk.hub.config import load_config
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.context import utc_now

pytestmark = pytest.mark.slow

ADDRESS = "203.0.113.9"
LEASE = 15.0  # seconds
PATIENCE = 120.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Lapi]:
    with lapi(tmp_path) as running:
        yield running


@pytest.fixture
def config(server: Lapi, tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    secrets = {
        "machine_password": server.add_machine("nightdesk"),
        "bouncer_key": server.add_bouncer("nightdesk"),
    }
    for name, secret in secrets.items():
        private_file(folder / "secrets" / name, secret.encode())
    settings = {"base_url": server.url, "machine_id": "nightdesk", **{key: f"file:secrets/{key}" for key in secrets}}
    more = {
        "tlp": "clear",
        "connectors": {"firewall": {"vendor": "crowdsec", "settings": settings, "pulls": []}},
        "roles": {"firewall": "firewall"},
        "approvals": {"people": {name: {"role": "approver"} for name in ("ann", "bob", "cleo")}},
    }
    return make_config(folder, "acme", "Acme", at=utc_now(), more=more)


@contextmanager
def a_hub(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A hub in a process of its own; killed at the latest at the end."""
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "killed_hub.py"), str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def asked(config: Path, *words: str) -> Any:
    found = run_cli(*words, "--tenant", "acme", "--config", config, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def becomes(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


def test_a_leased_block_survives_a_killed_hub_and_ends_with_its_lease(server: Lapi, config: Path) -> None:
    firewall = {"X-Api-Key": server.add_bouncer("firewall")}

    def blocked() -> bool:
        """What a firewall hears of the address."""
        answer = httpx.get(f"{server.url}/v1/decisions", params={"ip": ADDRESS}, headers=firewall).raise_for_status()
        return bool(answer.json())

    made = asked(config, "act", "ip.block", f"address:{ADDRESS}", "--as", "ann", "--lease", str(LEASE / 60))
    assert made["state"] == "leased"
    assert blocked()
    with a_hub(config):
        time.sleep(2.0)  # it has the lease in its hands, and dies with it
    over = time.monotonic() + LEASE
    becomes(lambda: time.monotonic() > over)
    assert blocked()  # nobody was there to end it
    with a_hub(config):
        becomes(lambda: not blocked())
        becomes(lambda: _state(config, made["action_id"])["state"] == "undone")
    ended = _state(config, made["action_id"])
    assert ended["result"]["undo"] == "undone and read back"
    assert ended["instance"] == "firewall"


def _state(config: Path, action_id: str) -> Any:
    """The action as the journal has it."""
    store = Store.open(load_config(config, REGISTRY).store)
    try:
        found = SqlJournal(store).get("acme", action_id)
    finally:
        store.close()
    assert found is not None
    return {"state": found.state.value, "result": found.result, "instance": found.instance}

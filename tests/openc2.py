"""A hub with an EDR that takes OpenC2 commands over a socket, and time that the test moves."""

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.acting import Ticking
from tests.hubs import REGISTRY, bind, browsing, together

from nightdesk.autonomy.actions import Action
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import private_file
from nightdesk.hub.store import Store
from nightdesk.sdk.testing import Simulator, StoryDevice, serve

__all__ = ["EDR", "MEDIA_TYPE", "TENANTS", "TOKENS", "Desk", "Reply", "bound_tenants", "desk"]

EDR = "crowdstrike_falcon"
MEDIA_TYPE = "application/openc2+json;version=1.0"
TENANTS = ("acme", "umbrella")
TOKENS: Mapping[str, str] = {
    "ann": "approver",
    "vera": "viewer",
    "otto": "analyst",
    "soar": "service",
    "feed": "service",
}
_DEVICES = (
    *(StoryDevice(f"dev-{n}", f"WS-000{n}", (f"192.0.2.{n}",)) for n in (1, 2, 3)),
    StoryDevice("dev-8", "JUMP-01", ("192.0.2.8",)),
    StoryDevice("dev-9", "DC-01", ("192.0.2.9",)),
)


class Reply:
    """An HTTP answer and the response of the language in it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.http = answer
        document = answer.json()
        self.headers: dict[str, Any] = document.get("headers", {})
        self.response: dict[str, Any] = document["body"]["openc2"]["response"] if "body" in document else document
        self.status: int = self.response["status"]
        self.text: str = self.response.get("status_text", "")
        self.results: dict[str, Any] = self.response.get("results", {})
        self.ours: dict[str, Any] = self.results.get("x-nightdesk", {})


class Desk:
    """The hub, its EDR, and who may talk to it."""

    def __init__(self, hub: Hub, simulator: Simulator, clock: Ticking, client: httpx.Client) -> None:
        self.hub = hub
        self.simulator = simulator
        self.clock = clock
        self.client = client
        self._numbers = itertools.count(1)

    def token(self, name: str, tenant: str = "acme") -> dict[str, str]:
        secret = self.hub.settings.tenants[tenant].tokens[name].secret.reveal()
        return {"Authorization": f"Bearer {secret}"}

    def post(self, document: Any, who: str = "ann", tenant: str = "acme", **headers: str) -> httpx.Response:
        given = {
            "Content-Type": MEDIA_TYPE,
            **self.token(who, tenant),
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.client.post("/.well-known/openc2", content=body, headers=given)

    def send(
        self, action: str, target: Mapping[str, Any], who: str = "ann", tenant: str = "acme", **more: Any
    ) -> Reply:
        """One command in its envelope; asks for the state as it is, unless ``args`` say otherwise."""
        args = {"response_requested": "status", **more.pop("args", {})} if target.keys() != {"features"} else {}
        command: dict[str, Any] = {"action": action, "target": target, **more}
        if args:
            command["args"] = args
        headers = {"request_id": f"request-{next(self._numbers)}", "from": "soar.example.com"}
        return Reply(self.post({"headers": headers, "body": {"openc2": {"request": command}}}, who, tenant))

    def isolate(self, number: int = 1, who: str = "ann", **more: Any) -> Reply:
        return self.send("contain", {"device": {"hostname": f"ws-000{number}"}}, who, **more)

    def state(self, command_id: str, who: str = "ann", tenant: str = "acme") -> Reply:
        return Reply(self.client.get(f"/openc2/commands/{command_id}", headers=self.token(who, tenant)))

    def work(self, seconds: float = 0.0) -> None:
        """Lets time pass, and the hub do what there is to do."""

        async def go() -> None:
            try:
                await self.hub.once(pull=False)
            finally:
                await self.hub.bindings.aclose()

        for _ in range(3):  # the vendor's answer, its effect, what follows from it
            self.clock.advance(seconds / 3)
            asyncio.run(go())

    def isolated(self, number: int = 1) -> bool:
        """What is really so at the vendor."""
        self.simulator.fleet.settle()
        (device,) = (one for one in self.simulator.fleet.devices.values() if one.hostname.lower() == f"ws-000{number}")
        return device.isolated

    def orders(self) -> int:
        """How many changes the vendor was told to make."""
        return sum(len(one.orders) for one in self.simulator.fleet.devices.values())

    def action(self, reply: Reply, tenant: str = "acme") -> Action:
        found = self.hub.journal.get(tenant, reply.ours["action_id"])
        assert found is not None
        return found


def bound_tenants(folder: Path, simulator: Simulator, url: str, **more: Any) -> list[Path]:
    """A configuration for each tenant, with a credential for each role."""
    configs = []
    for slug in TENANTS:
        tokens = {}
        for name, role in TOKENS.items():
            private_file(folder / slug / "secrets" / f"token.{name}", f"{slug}-{name}-secret\n".encode())
            tokens[name] = {"role": role, "secret": f"file:secrets/token.{name}"}
        tokens["feed"]["instance"] = "edr"
        configs.append(bind(folder / slug, slug, {"edr": (simulator, url)}, tokens=tokens, **more))
    return configs


@contextmanager
def desk(folder: Path, *, clock: Ticking | None = None) -> Iterator[Desk]:
    """Two tenants with the same EDR, whose devices they share: what one sees of the other is the hub's doing."""
    ticking = clock or Ticking()
    simulator = REGISTRY.simulator(EDR)(clock=ticking)
    simulator.add_devices(_DEVICES)
    with serve(simulator) as served:
        settings = together(*bound_tenants(folder, simulator, served.base_url))
        store = Store.open(settings.store, synchronous="NORMAL")
        try:
            hub = Hub(settings, REGISTRY, store, clock=ticking)
            with browsing(hub) as client:
                yield Desk(hub, simulator, ticking, client)
        finally:
            store.close()

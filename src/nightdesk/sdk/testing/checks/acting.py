"""Actions at the port: accepted is not in effect, effects are read back, undone, and repeated without harm."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from nightdesk.sdk.errors import NightdeskError, RejectedError, UnsupportedError
from nightdesk.sdk.manifest import Action
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import AssetQuery, Target
from nightdesk.sdk.testing.subject import DEVICE, Bench, Ground, Subject
from nightdesk.sdk.verbs import VERBS, Risk, TargetKind

__all__ = [
    "alert_command",
    "dispositions",
    "effects",
    "losses",
    "receipts_are_no_effects",
    "unknown_hosts",
]

_STEP = 5.0
_TARGETS = {
    TargetKind.HOST: f"host:{DEVICE.hostname}",
    TargetKind.FILE: f"file:sha256:{'c0de' * 16}",
    TargetKind.ADDRESS: "address:203.0.113.77",
    TargetKind.DOMAIN: "domain:bad.example.com",
    TargetKind.URL: "url:https://bad.example.com/payload",
}
_VALUES: dict[str, Any] = {
    "mode": "selective",
    "duration": 3600,
    "path": "C:\\Users\\jdoe",
    "direction": "inbound",
    "scope": "branch-office",
    "status": "closed",
    "disposition": "false-positive",
    "comment": "seen by the contract suite",
    "limit": 10,
    "script": "hostname",
}


async def effects(ground: Ground, subject: Subject) -> None:
    """Act, read back, act again, undo, read back: for every verb from R2 up that the kit can name a target for."""
    for name, action in _provable(subject):
        async with ground.bench(subject) as bench:
            connector = bench.connect()
            wish = await _command(bench, connector, name)
            back = await _command(bench, connector, action.inverse)
            before = await connector.read_back(wish)
            assert before.effect is Effect.NOT_IN_EFFECT, f"{name}: {before.effect} before anything was asked"
            bench.time.advance(1)
            await connector.act(wish)
            assert (await _until_settled(bench, connector, wish, action)).effect is Effect.IN_EFFECT, (
                f"{name}: no effect"
            )
            told = _orders(bench)
            await connector.act(wish)
            again = await _until_settled(bench, connector, wish, action)
            assert again.effect is Effect.IN_EFFECT, f"{name}: {again.effect} after the same command again"
            assert _orders(bench) == told, f"{name}: the same command again was carried out twice"
            fresh = await bench.connect().read_back(wish)
            assert fresh.effect is Effect.IN_EFFECT, f"{name}: a restarted connector reads {fresh.effect}"
            bench.time.advance(1)
            await connector.act(back)
            assert (await _until_settled(bench, connector, back, action)).effect is Effect.IN_EFFECT, f"{name}: no undo"
            after = await connector.read_back(wish)
            assert after.effect is Effect.NOT_IN_EFFECT, f"{name}: {after.effect} after {action.inverse}"


async def receipts_are_no_effects(ground: Ground, subject: Subject) -> None:
    """On a host that cannot be reached the vendor accepts, and nothing is in effect until the host is back."""
    for name, action in _provable(subject, TargetKind.HOST):
        async with ground.bench(subject) as bench:
            connector = bench.connect()
            wish = await _command(bench, connector, name)
            bench.simulator.faults.add("offline_host")
            with suppress(NightdeskError):  # a vendor may refuse at once
                await connector.act(wish)
            bench.time.advance(30)
            reading = await connector.read_back(wish)
            assert reading.effect in {Effect.PENDING, Effect.NOT_IN_EFFECT, Effect.FAILED}, (
                f"{name} of an offline host reads {reading.effect}: a receipt is no effect"
            )
            assert reading.observed_at <= bench.time.clock(), f"{name}: a reading from the future"
            if reading.effect is Effect.PENDING:
                bench.simulator.faults.clear()
                settled = await _until_settled(bench, connector, wish, action)
                assert settled.effect is Effect.IN_EFFECT, f"{name}: {settled.effect} after the host came back"


async def losses(ground: Ground, subject: Subject) -> None:
    """Law 8: a parameter that the manifest does not list is named as lost or refused, never dropped in silence."""
    for name in subject.manifest.verbs:
        action = subject.manifest.action(name)
        kind = VERBS[name].target
        if kind not in _TARGETS and kind is not TargetKind.ALERT:
            continue
        for parameter in sorted(set(VERBS[name].parameters) - set(action.parameters)):
            async with ground.bench(subject) as bench:
                connector = bench.connect()
                given = {**_needed(action), parameter: _VALUES[parameter]}
                receipt = await _tried(bench, connector, name, given)
                said = receipt is None or any(parameter in loss for loss in receipt.losses)
                assert said, f"{name}: {parameter} is not declared, and was neither refused nor named as a loss"


async def dispositions(ground: Ground, subject: Subject) -> None:
    """A closed alert is closed at the vendor, read back so, and opened again by the undo."""
    if "alert.set_disposition" not in subject.manifest.writes_back:
        return
    async with ground.bench(subject) as bench:
        native_id, other = sorted(bench.burst(2))
        connector = bench.connect()
        if bench.streams:
            await bench.drain(connector)
        verb = "alert.set_disposition"
        wish = alert_command(bench, verb, native_id, {"status": "closed", "disposition": "false-positive"})
        before = await connector.read_back(wish)
        was = dict(bench.simulator.alert_state(native_id))
        assert before.effect is Effect.NOT_IN_EFFECT, f"{before.effect} before anything was asked"
        assert before.state.get("status"), "the pre-state has no status, so nothing could be undone"
        bench.time.advance(1)
        receipt = await connector.write_back(wish)
        bench.time.advance(1)
        assert (await connector.read_back(wish)).effect is Effect.IN_EFFECT, "closed, and not read back so"
        now = bench.simulator.alert_state(native_id)
        assert now["status"] == "closed", "the hub would say closed, the vendor does not"
        if not any("disposition" in loss for loss in receipt.losses):
            assert now["disposition"] == "false-positive", f"the vendor has the disposition {now['disposition']!r}"
        assert bench.simulator.alert_state(other)["status"] == "open", "another alert was closed too"
        repeat = await connector.write_back(wish)
        assert isinstance(repeat, Receipt), "the same command again is answered"
        # As an undo gives them: what had no value cannot be given back.
        restored = {name: before.state[name] for name in ("status", "disposition") if before.state.get(name)}
        undo = alert_command(bench, verb, native_id, restored, pre_state=dict(before.state), key="undo")
        bench.time.advance(1)
        await connector.write_back(undo)
        bench.time.advance(1)
        assert (await connector.read_back(undo)).effect is Effect.IN_EFFECT, "the undo is not read back"
        assert bench.simulator.alert_state(native_id)["status"] == was["status"], "the undo did not restore the status"


async def unknown_hosts(ground: Ground, subject: Subject) -> None:
    """A host that the vendor does not know is found nowhere, and one it knows is found by name alone."""
    async with ground.bench(subject) as bench:
        bench.simulator.add_devices([DEVICE])
        connector = bench.connect()
        found = await connector.find_asset(AssetQuery(hostname=DEVICE.hostname.lower()))
        assert len(found) == 1, f"{DEVICE.hostname.lower()}: {len(found)} assets, 1 is enrolled"
        assert found[0].hostname.lower() == DEVICE.hostname.lower(), "the asset has another name"
        assert found[0].native_id, "the asset has no native id"
        none = await connector.find_asset(AssetQuery(hostname="ws-does-not-exist"))
        assert not none, f"an unknown host is found: {none}"
        prefix = await connector.find_asset(AssetQuery(hostname=DEVICE.hostname[:-1].lower()))
        assert not prefix, f"a part of a name is taken for {prefix}"


def alert_command(
    bench: Bench,
    name: str,
    native_id: str,
    parameters: Mapping[str, Any],
    *,
    pre_state: Mapping[str, Any] | None = None,
    key: str = "key",
) -> Command:
    """A command on one of the vendor's own alerts."""
    return Command(
        bench.tenant,
        f"action-{name}-{key}",
        name,
        Target(TargetKind.ALERT, native_id),
        f"idempotency-{name}-{native_id}-{key}",
        bench.time.clock(),
        native_id=native_id,
        parameters=parameters,
        reason="contract",
        pre_state=pre_state or {},
    )


def _provable(subject: Subject, kind: TargetKind | None = None) -> Iterator[tuple[str, Action]]:
    """Every first verb of a pair that can be read back and undone."""
    for name, action in subject.manifest.acts.items():
        verb = VERBS[name]
        wanted = verb.target in _TARGETS if kind is None else verb.target is kind
        if wanted and verb.risk >= Risk.R2 and verb.family == name and action.read_back and action.inverse:
            yield name, action


async def _command(bench: Bench, connector: Any, name: str, parameters: Mapping[str, Any] | None = None) -> Command:
    target = Target.parse(_TARGETS[VERBS[name].target])
    native_id = target.value
    if target.kind is TargetKind.HOST:
        bench.simulator.add_devices([DEVICE])
        (asset,) = await connector.find_asset(AssetQuery.of(target))
        native_id = asset.native_id
    return Command(
        bench.tenant,
        f"action-{name}",
        name,
        target,
        f"idempotency-{name}",
        bench.time.clock(),
        native_id=native_id,
        parameters=parameters or {},
        reason="contract",
    )


async def _until_settled(bench: Bench, connector: Any, command: Command, action: Action) -> Reading:
    """Reads until it is neither pending nor missing, at most to the action's deadline."""
    waited = 0.0
    reading: Reading = await connector.read_back(command)
    while reading.effect in {Effect.PENDING, Effect.NOT_IN_EFFECT} and waited < action.deadline:
        bench.time.advance(_STEP)
        waited += _STEP
        reading = await connector.read_back(command)
    return reading


def _orders(bench: Bench) -> int:
    """Isolations and releases the fleet was told to make."""
    return sum(len(device.orders) for device in bench.simulator.fleet.devices.values())


def _needed(action: Action) -> dict[str, Any]:
    """What a write-back must say to mean anything."""
    return {name: _VALUES[name] for name in ("status", "comment") if name in action.parameters}


async def _tried(bench: Bench, connector: Any, name: str, given: Mapping[str, Any]) -> Receipt | None:
    """The receipt; None when it was refused."""
    receipt: Receipt
    try:
        if name.startswith("alert."):
            (native_id,) = bench.burst(1)
            receipt = await connector.write_back(alert_command(bench, name, native_id, given))
        else:
            receipt = await connector.act(await _command(bench, connector, name, given))
    except (UnsupportedError, RejectedError):
        return None
    return receipt

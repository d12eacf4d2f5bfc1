"""Actions at the port: accepted is not in effect, effects are read back, undone, and repeated without harm."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from nightdesk.sdk.errors import NightdeskError, RejectedError, UnsupportedError
from nightdesk.sdk.manifest import Action
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import AccountQuery, AssetQuery, Target
from nightdesk.sdk.testing.subject import (
    ACCOUNT,
    DEVICE,
    GROUP,
    KEY,
    OBSERVABLES,
    PROCESS,
    Bench,
    Ground,
    Subject,
    an_alert,
)
from nightdesk.sdk.verbs import VERBS, Risk, TargetKind

__all__ = [
    "alert_command",
    "dispositions",
    "effects",
    "losses",
    "one_way",
    "receipts_are_no_effects",
    "unknown_accounts",
    "unknown_hosts",
]

_STEP = 5.0
_ON_HOST = {"hostname": DEVICE.hostname, "pid": str(PROCESS.pid), "path": PROCESS.path}
_TARGETS = {
    TargetKind.HOST: Target(TargetKind.HOST, DEVICE.hostname),
    TargetKind.PROCESS: Target(TargetKind.PROCESS, PROCESS.name, _ON_HOST),
    **OBSERVABLES,
    TargetKind.INDICATOR: Target(TargetKind.INDICATOR, "domain:bad.example.com"),
    TargetKind.ACCOUNT: Target(TargetKind.ACCOUNT, ACCOUNT.email, {"name": ACCOUNT.name}),
    TargetKind.MEMBERSHIP: Target(TargetKind.MEMBERSHIP, f"{ACCOUNT.email}/{GROUP}"),
    TargetKind.CREDENTIAL: Target(TargetKind.CREDENTIAL, f"{ACCOUNT.email}/{KEY}"),
}
_FILES_ON_HOSTS = frozenset({"file.quarantine", "file.restore", "file.fetch"})
_OF_ACCOUNTS = frozenset({TargetKind.ACCOUNT, TargetKind.MEMBERSHIP, TargetKind.CREDENTIAL})
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
    "name": "contract",
    "description": "seen by the contract suite",
    "valid_until": "2027-01-01T00:00:00Z",
    "confidence": 80,
    "tlp": "amber",
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


async def one_way(ground: Ground, subject: Subject) -> None:
    """What cannot be undone is read back all the same, and the same command again is not carried out twice."""
    for name, action in subject.manifest.acts.items():
        if action.inverse or not action.read_back or VERBS[name].target not in _TARGETS or "script" in name:
            continue
        async with ground.bench(subject) as bench:
            connector = bench.connect()
            wish = await _command(bench, connector, name)
            before = await connector.read_back(wish)
            assert before.effect is not Effect.IN_EFFECT, f"{name}: {before.effect} before anything was asked"
            bench.time.advance(1)
            await connector.act(wish)
            settled = await _until_settled(bench, connector, wish, action)
            assert settled.effect is Effect.IN_EFFECT, f"{name}: {settled.effect}, no effect"
            told = _orders(bench)
            await connector.act(wish)
            assert _orders(bench) == told, f"{name}: the same command again was carried out twice"


async def dispositions(ground: Ground, subject: Subject) -> None:
    """A closed alert is closed at the vendor, read back so, and opened again by the undo, or not at all without one."""
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
        if not subject.manifest.writes_back[verb].inverse:
            with suppress(RejectedError, UnsupportedError):
                await connector.write_back(undo)
                raise AssertionError("an undo that the manifest calls impossible is accepted")
            assert (await connector.read_back(undo)).effect is not Effect.IN_EFFECT, "read back as undone, and is not"
            return
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


async def unknown_accounts(ground: Ground, subject: Subject) -> None:
    """An account that the vendor does not know is found nowhere; one it knows by its address and by its id alone."""
    async with ground.bench(subject) as bench:
        bench.simulator.add_accounts([ACCOUNT])
        connector = bench.connect()
        found = await connector.find_account(AccountQuery(name=ACCOUNT.name, email=ACCOUNT.email.upper()))
        assert len(found) == 1, f"{ACCOUNT.email}: {len(found)} accounts, 1 is enrolled"
        assert found[0].native_id, "the account has no native id"
        again = await connector.find_account(AccountQuery(native_id=found[0].native_id))
        assert [account.native_id for account in again] == [found[0].native_id], "it is not found by its own id"
        for query in (
            AccountQuery(name="nobody", email="nobody@corp.example.com"),
            AccountQuery(name=ACCOUNT.name[:-1], email=ACCOUNT.email[1:]),
            AccountQuery(),
        ):
            none = await connector.find_account(query)
            assert not none, f"{query} finds {none}"


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
    """A command on what the bench enrols for it, the target's id found as the hub finds it."""
    kind = VERBS[name].target
    target = _TARGETS[kind]
    native_id = target.value
    if name in _FILES_ON_HOSTS:
        target = Target(kind, f"sha256:{PROCESS.sha256}", _ON_HOST)
    if kind in {TargetKind.HOST, TargetKind.PROCESS} or name in _FILES_ON_HOSTS:
        bench.simulator.add_devices([DEVICE])
        if kind is not TargetKind.HOST and bench.streams:  # some vendors reach only what they have detected
            bench.simulator.add(an_alert(bench.time, f"about-{name}"))
        (asset,) = await connector.find_asset(AssetQuery(hostname=DEVICE.hostname.lower()))
        native_id = asset.native_id
    elif kind in _OF_ACCOUNTS:
        bench.simulator.add_accounts([ACCOUNT])
        (account,) = await connector.find_account(AccountQuery.of(target))
        native_id = account.native_id
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
    """What the fleet and the directory were told to do."""
    simulator = bench.simulator
    devices, members = simulator.fleet.devices.values(), simulator.directory.accounts.values()
    return sum(len(device.orders) for device in devices) + sum(member.changes for member in members)


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

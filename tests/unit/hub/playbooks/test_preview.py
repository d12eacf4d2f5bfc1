from tests.desks import CASE, MAIL, TENANT, Desktop
from tests.playbooks import a_playbook, do, end, isolate, openc2, start, var

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.hub.dryrun import dry
from nightdesk.hub.hub import Hub
from nightdesk.hub.playbooks.preview import PlannedStep, preview
from nightdesk.sdk.targets import Target


def _preview(desk: Desktop, book: Playbook, **given: str) -> dict[str, PlannedStep]:
    """Its steps by name, proved to have reached nobody."""
    seen = {role: len(one.seen) for role, one in desk.simulators.items()}
    values = {f"__{name}__": value for name, value in given.items()}
    with dry(desk.settings) as tripwire:
        hub = Hub(tripwire.settings, desk.hub.registry, desk.store, clock=desk.time.clock)
        called, inputs = hub.playbooks.prepared(TENANT, book, case_id=CASE, by="ann", given=values)
        found = preview(hub, TENANT, book, called, inputs, by="ann", case_id=CASE)
    assert tripwire.attempts == []
    assert {role: len(one.seen) for role, one in desk.simulators.items()} == seen
    assert desk.actions() == []
    return {step.name: step for step in found}


def test_every_command_that_would_leave_is_shown_and_none_leaves(desk: Desktop) -> None:
    steps = _preview(desk, bundled().find("ransomware-host"), host="ws-0042", account=MAIL)
    (one,) = steps["Isolate the host"].commands
    assert (one.verb, one.target, one.instance, one.vendor) == (
        "host.isolate",
        "host:ws-0042",
        "edr",
        "crowdstrike_falcon",
    )
    assert (one.approval, one.risk, one.lease_seconds, one.undo) == ("a second person", "R2", 86400.0, "host.release")
    assert one.stops == ()
    assert one.unknown == (
        "its id of the host: edr is asked when it is run, and must know exactly one",
        "whether it is so already: read when it is run",
    )
    assert steps["Tell the channel"].commands[0].approval == "ann alone"
    assert steps["Collect evidence"].commands[0].stops == ("left out: edr does not offer host.collect_evidence",)
    assert [one.verb for one in steps["Disable the account and end its sessions"].commands] == [
        "account.disable",
        "account.revoke_sessions",
    ]
    assert "Deny the program everywhere" not in steps, "no hash was given: that branch is not taken"
    assert steps["Isolate by hand"].when == "if Isolate the host fails"


def test_what_an_earlier_step_decides_is_not_pretended_to_be_known(desk: Desktop) -> None:
    steps = {
        "start": start("isolate"),
        "isolate": do(isolate(), out_args=["__word__"], on_completion="tell"),
        "tell": do(
            openc2(
                "create",
                {"x-nightdesk:message": {"uid": "soc"}},
                ours={"verb": "notify.send", "parameters": {"text": "it is __word__:value"}},
            ),
            on_completion="again",
        ),
        "again": do(isolate("__word__:value"), on_completion="z"),
        "z": end(),
    }
    found = _preview(desk, a_playbook(steps, variables={"__word__": var()}))
    (told,) = found["tell"].commands
    assert told.parameters == {"text": "it is __word__:value"}
    assert "__word__: a step before this one sets it" in told.unknown
    (again,) = found["again"].commands
    assert (again.target, again.instance, again.unknown) == (
        "__word__:value",
        "",
        ("__word__: a step before this one sets it",),
    )


def test_what_stands_against_a_command_is_said(desk: Desktop) -> None:
    scan = openc2("scan", {"device": {"hostname": "ws-0042"}})
    mode = isolate(ours={"parameters": {"mode": "selective"}})
    block = openc2("deny", {"ipv4_net": "203.0.113.7"})
    steps = {
        "start": start("scan"),
        "scan": do(scan, on_completion="mode"),
        "mode": do(mode, on_completion="block"),
        "block": do(block, on_completion="z"),
        "z": end(),
    }
    found = _preview(desk, a_playbook(steps))
    assert found["scan"].commands[0].undo == "none: a scan ends by itself"
    assert found["mode"].commands[0].parameters == {"mode": "selective"}
    (said,) = found["block"].commands[0].stops
    assert said == "left out: tenant 'acme' binds no connector to the role 'firewall', which ip.block needs"


def test_a_guard_that_would_refuse_is_heard(desk: Desktop) -> None:
    """The guards of the hub are asked, as they are before a request leaves."""
    book = a_playbook({"start": start("a"), "a": do(isolate("edr-never"), on_completion="z"), "z": end()})
    plain = _preview(desk, book)["a"].commands[0]
    assert plain.stops == ()
    asked: list[Target] = []

    with dry(desk.settings) as tripwire:
        hub = Hub(tripwire.settings, desk.hub.registry, desk.store, clock=desk.time.clock)
        guard = hub.guards[0]

        def refusing(dispatching):  # type: ignore[no-untyped-def]  # a guard, as the engine has them
            asked.append(dispatching.action.target)
            check = guard(dispatching)
            return type(check)("never-touch", passed=False, value=dispatching.action.target.key, limit="nobody")

        hub.guards = (refusing,)
        (step,) = preview(hub, TENANT, book, {}, {}, by="ann", case_id=CASE)
    assert step.commands[0].stops == ("refused by never-touch: host:edr-never (limit nobody)",)
    assert [target.key for target in asked] == ["host:edr-never"]

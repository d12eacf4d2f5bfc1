"""Tickets, messages, opinions: what a vendor does that is neither an alert nor an effect on a target."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nightdesk.sdk.errors import AuthError, NightdeskError, NotFoundError, UnsupportedError
from nightdesk.sdk.ports import CaseChange, Effect
from nightdesk.sdk.records import Cursor
from nightdesk.sdk.testing.subject import OBSERVABLES, Bench, Ground, Subject, plain_command

__all__ = ["answers", "case_changes", "cases", "messages", "opinions"]


_ABOUT = f"act-{'0a' * 16}.{'1b' * 32}"
_ACCOUNT = "U0ANNA"
_OLD = 3600.0  # seconds; no vendor's window for a request is as wide


async def cases(ground: Ground, subject: Subject) -> None:
    """A ticket is opened once however often that is asked, found by its case, commented on, closed, re-opened."""
    acts = subject.manifest.acts
    if "case.open" not in acts:
        return
    async with ground.bench(subject) as bench:
        connector = bench.connect()
        wish = plain_command(bench, "case.open")
        if "case.comment" in acts:
            try:
                await connector.act(plain_command(bench, "case.comment"))
            except NotFoundError:
                pass
            else:
                raise AssertionError("a comment on a case without a ticket raises NotFoundError")
        assert (await connector.read_back(wish)).effect is Effect.NOT_IN_EFFECT, "a ticket before any was opened"
        receipt = await connector.act(wish)
        assert receipt.native_action_id, "the receipt names the ticket"
        assert (await connector.read_back(wish)).effect is Effect.IN_EFFECT, "opened, and not read back so"
        await bench.connect().act(wish)
        tickets = bench.simulator.case_states()
        assert list(tickets) == [receipt.native_action_id], f"{len(tickets)} tickets for one case"
        assert tickets[receipt.native_action_id]["title"] == wish.parameters["title"], "the title is another"
        for name, status in (("case.comment", "open"), ("case.close", "closed"), ("case.reopen", "open")):
            if name in acts:
                await _twice(bench, name, status)


async def _twice(bench: Bench, name: str, status: str) -> None:
    connector = bench.connect()
    wish = plain_command(bench, name)
    bench.time.advance(1)
    await connector.act(wish)
    bench.time.advance(1)
    if bench.subject.manifest.acts[name].read_back:
        assert (await connector.read_back(wish)).effect is Effect.IN_EFFECT, f"{name} is not read back"
    (before,) = bench.simulator.case_states().values()
    said = len(before["comments"])
    await bench.connect().act(wish)
    (after,) = bench.simulator.case_states().values()
    assert after["status"] == status, f"{name}: the ticket is {after['status']}"
    assert len(after["comments"]) == said, f"{name}: the same command again commented twice"


async def case_changes(ground: Ground, subject: Subject) -> None:
    """What people do to a ticket is told once, with our own words marked as ours; nothing else is told."""
    async with ground.bench(subject) as bench:
        told, cursor = await _follow(bench, None)
        assert not told, "changes before there was a ticket"
        native_id = (await bench.connect().act(plain_command(bench, "case.open"))).native_action_id
        if "case.comment" in subject.manifest.acts:
            await bench.connect().act(plain_command(bench, "case.comment"))
        bench.time.advance(61)
        told, cursor = await _follow(bench, cursor)
        assert all(change.status == "open" for change in told), "a new ticket is told as closed"
        assert all(comment.ours for change in told for comment in change.comments), "our words are not ours"
        bench.time.advance(61)
        bench.simulator.edit_case(native_id, status="closed", comment="false alarm, says the owner")
        bench.time.advance(1)
        told, cursor = await _follow(bench, cursor)
        assert [change.native_id for change in told] == [native_id], f"{len(told)} changes for one edit"
        assert (told[0].status, told[0].case_id) == ("closed", "case-0042"), f"told as {told[0]}"
        theirs = [comment.text for comment in told[0].comments if not comment.ours]
        assert theirs == ["false alarm, says the owner"], f"the person's comment reads {theirs}"
        again, _ = await _follow(bench, cursor)
        assert not again, "the same change is told twice"


async def _follow(bench: Bench, cursor: Cursor | None) -> tuple[list[CaseChange], Cursor | None]:
    found: list[CaseChange] = []
    async for page in bench.connect().follow_cases(cursor, limit=10):
        found += page.changes
        cursor = page.cursor or cursor
    return found, cursor


async def messages(ground: Ground, subject: Subject) -> None:
    """A message arrives as data, once for one command as far as the vendor lets one find out."""
    for name in ("notify.send", "approval.request"):
        action = subject.manifest.acts.get(name)
        if action is None:
            continue
        async with ground.bench(subject) as bench:
            wish = plain_command(bench, name)
            await bench.connect().act(wish)
            (sent,) = bench.simulator.messages()
            assert wish.parameters["title"] in sent["text"], f"the title is not in {sent['text']!r}"
            if action.read_back:
                assert (await bench.connect().read_back(wish)).effect is Effect.IN_EFFECT, f"{name} is not read back"
                await bench.connect().act(wish)
                assert len(bench.simulator.messages()) == 1, f"{name}: the same command again was sent twice"


async def answers(ground: Ground, subject: Subject) -> None:
    """An answer says what was asked, what was chosen and by whom; forged, touched or old it is refused."""
    async with ground.bench(subject) as bench:
        asked = plain_command(bench, "approval.request")
        options = asked.parameters["options"]
        wish = replace(asked, parameters={**asked.parameters, "about": _ABOUT})
        await bench.connect().act(wish)
        connector = bench.connect()
        for number, option in enumerate(options):
            headers, body = bench.simulator.answer(number, account=_ACCOUNT)
            (heard,) = connector.answers(headers, body)
            assert (heard.about, heard.option, heard.account) == (_ABOUT, option, _ACCOUNT), f"heard {heard}"
            assert heard.native_id, "an answer has an id, by which the same one is known"
            assert list(connector.answers(headers, body)) == [heard], "told again it is another answer"
            _unheard(connector, {}, body, "a request without a signature")
            _unheard(connector, headers, body + b"&", "a touched body")
            unsigned = {name: value[:-1] + ("0" if value[-1:] != "0" else "1") for name, value in headers.items()}
            _unheard(connector, unsigned, body, "another signature")
        headers, body = bench.simulator.answer(0, account=_ACCOUNT)
        async with ground.bench(subject, secret=_ACCOUNT) as other:
            _unheard(other.connect(), headers, body, "another account's request")
        bench.time.advance(_OLD)
        _unheard(connector, headers, body, "a request of an hour ago")


def _unheard(connector: Any, headers: Mapping[str, str], body: bytes, what: str) -> None:
    try:
        heard = connector.answers(headers, body)
    except AuthError:
        return
    raise AssertionError(f"{what} is heard: {heard}")


async def opinions(ground: Ground, subject: Subject) -> None:
    """What the source knows is told with its verdict; what it does not know is no opinion; other kinds are refused."""
    async with ground.bench(subject) as bench:
        connector = bench.connect()
        for kind in subject.manifest.enriches:
            target = OBSERVABLES[kind]
            assert not [o for o in await connector.enrich(target) if o.verdict != "unknown"], f"{target} is not known"
            bench.simulator.judge(target, "malicious")
            found = await connector.enrich(target)
            assert [opinion.verdict for opinion in found] == ["malicious"], f"{target}: {found}"
            assert found[0].observed_at <= bench.time.clock(), "an opinion from the future"
        for kind in set(OBSERVABLES) - set(subject.manifest.enriches):
            try:
                await connector.enrich(OBSERVABLES[kind])
            except UnsupportedError:
                continue
            except NightdeskError as error:
                raise AssertionError(f"{kind} is not declared, and gives {type(error).__name__}") from error
            raise AssertionError(f"{kind} is not declared, and was looked up")

"""Law 1 at the port: whatever is raised comes out, in any page size, from any cursor, late or at the same instant."""

from collections import Counter

from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.testing.checks.acting import alert_command
from nightdesk.sdk.testing.subject import Bench, Ground, Subject, an_alert

__all__ = ["any_page_size", "late_arrivals", "new_versions", "one_by_one", "resumes_anywhere"]

_BURST = 123


async def any_page_size(ground: Ground, subject: Subject) -> None:
    """A burst of one instant is drained, each alert once, and polling again brings nothing."""
    async with ground.bench(subject) as bench:
        wanted = bench.burst(_BURST)
        for limit in (7, 50, _BURST, 500):
            records, reached = await bench.drain(bench.connect(), limit=limit)
            _exactly_once(bench, records, wanted, f"{limit} a page")
            again, _ = await bench.drain(bench.connect(), limit=limit, cursors=reached)
            new = {record.key for record in again} - {record.key for record in records}
            assert not new, f"{limit} a page: polling again brought {len(new)} new keys though nothing had happened"


async def resumes_anywhere(ground: Ground, subject: Subject) -> None:
    """Killed after any page, also with the page in hand not yet stored, it goes on without a loss."""
    async with ground.bench(subject) as bench:
        wanted = bench.burst(8)
        for limit in (1, 3):
            for stream in bench.streams:
                await _resume(bench, stream, limit)
            records, _ = await bench.drain(bench.connect(), limit=limit)
            _exactly_once(bench, records, wanted, f"{limit} a page")


async def _resume(bench: Bench, stream: str, limit: int) -> None:
    pages = [batch async for batch in bench.connect().pull(stream, None, limit=limit)]
    everything = {record.key for page in pages for record in page.records}
    stored: set[str] = set()
    cursor: Cursor | None = None
    for number, page in enumerate(pages):
        stored |= {record.key for record in page.records}
        cursor = page.cursor or cursor
        rest = [batch async for batch in bench.connect().pull(stream, cursor, limit=limit)]
        found = stored | {record.key for batch in rest for record in batch.records}
        lost = everything - found
        assert not lost, f"{stream}: {len(lost)} alerts are lost when restarted after page {number + 1} of {limit} each"
        assert found == everything, f"{stream}: restarted after page {number + 1}, {len(found - everything)} new keys"


async def late_arrivals(ground: Ground, subject: Subject) -> None:
    """What becomes known late, with a time that was read already or with an old event behind it, is not passed over."""
    async with ground.bench(subject) as bench:
        first = bench.burst(5, "early")
        connector = bench.connect()
        records, reached = await bench.drain(connector, limit=2)
        _exactly_once(bench, records, first, "before")
        same_time = {bench.simulator.add(an_alert(bench.time, "late-same-time"))}
        found, reached = await bench.drain(connector, limit=2, cursors=reached)
        assert same_time <= bench.ids(found), "an alert of an instant read already is passed over"
        bench.time.advance(5)
        old = {bench.simulator.add(an_alert(bench.time, "late-old-event", seconds_ago=1, happened_ago=3 * 3600))}
        found, reached = await bench.drain(connector, limit=2, cursors=reached)
        assert old <= bench.ids(found), "an alert told late about an old event is passed over"


async def new_versions(ground: Ground, subject: Subject) -> None:
    """An alert that changed at the vendor comes again under another key."""
    async with ground.bench(subject) as bench:
        (native_id,) = bench.burst(1)
        connector = bench.connect()
        records, reached = await bench.drain(connector)
        bench.time.advance(61)
        parameters = {"status": "closed", "disposition": "false-positive"}
        await connector.write_back(alert_command(bench, "alert.set_disposition", native_id, parameters))
        bench.time.advance(1)
        found, _ = await bench.drain(connector, cursors=reached)
        versions = {record.key for record in found if record.native_id == native_id}
        assert versions - {record.key for record in records}, "a closed alert did not come again under a new key"


async def one_by_one(ground: Ground, subject: Subject) -> None:
    """One alert can be read by its id; one that is not there is said so."""
    async with ground.bench(subject) as bench:
        (native_id,) = bench.burst(1)
        connector = bench.connect()
        stream = next(iter((*subject.manifest.feeds, *subject.manifest.receives)))
        record = await connector.read_one(stream, native_id)
        assert record.native_id == native_id, "read_one gives another alert"
        other = native_id[:-1] + ("0" if native_id[-1] != "0" else "1")
        try:
            await connector.read_one(stream, other)
        except (NotFoundError, RejectedError):
            return
        raise AssertionError("read_one of an alert that does not exist raises NotFoundError")


def _exactly_once(bench: Bench, records: list[RawRecord], wanted: set[str], when: str) -> None:
    natives = bench.ids(records)
    assert natives == wanted, f"{when}: {len(wanted - natives)} alerts are missing, {len(natives - wanted)} are foreign"
    twice = [key for key, count in Counter(record.key for record in records).items() if count > 1]
    assert not twice, f"{when}: {len(twice)} keys came twice, such as {twice[0]}"
    assert len(records) == len(wanted), f"{when}: {len(records) - len(wanted)} alerts came again under another key"

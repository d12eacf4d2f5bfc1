"""Law 3 at the port: two tenants of one vendor share neither credentials nor state; a push needs its token."""

from nightdesk.sdk.errors import AuthError, NightdeskError
from nightdesk.sdk.testing.subject import Ground, Subject, an_alert

__all__ = ["pushes", "tenants"]


async def tenants(ground: Ground, subject: Subject) -> None:
    """The same story at two tenants: each connector brings its own, and neither may look at the other's."""
    async with ground.bench(subject, tenant="acme") as ours, ground.bench(subject, tenant="umbrella") as theirs:
        wanted = {bench.tenant: {bench.simulator.add(an_alert(bench.time, f"same-{n}")) for n in range(5)}
                  for bench in (ours, theirs)}  # fmt: skip
        extra = theirs.simulator.add(an_alert(theirs.time, "theirs-alone"))
        first, second = ours.connect(), theirs.connect()
        # In turns, so that anything shared between the two would show.
        once, _ = await ours.drain(first, limit=2)
        found, _ = await theirs.drain(second, limit=2)
        again, _ = await ours.drain(ours.connect(), limit=2)
        assert theirs.ids(found) == wanted["umbrella"] | {extra}, "a tenant's alerts are missing"
        for records in (once, again):
            assert ours.ids(records) == wanted["acme"], "a tenant got another one's alerts"
        if not subject.manifest.remote:
            return  # nobody to show credentials to
        for bench, other in ((ours, theirs), (theirs, ours)):
            seen = len(other.simulator.seen)
            wrong = bench.connect(**other.validated(other.simulator.settings(bench.url)))
            error = await bench.trouble(wrong)
            assert isinstance(error, AuthError), f"{other.tenant}'s credentials at {bench.tenant}: {error}"
            assert len(other.simulator.seen) == seen, "a call went to the wrong tenant"


async def pushes(ground: Ground, subject: Subject) -> None:
    """A push without the right token is refused; one that is no alert at all is an error, not a crash."""
    async with ground.bench(subject) as bench:
        connector = bench.connect()
        for stream in subject.manifest.receives:
            for headers in ({}, {"authorization": "Bearer wrong"}, {"Authorization": "Token wrong"}):
                try:
                    connector.receive(stream, headers, b'{"event": {}}')
                except AuthError:
                    continue
                except NightdeskError as error:
                    raise AssertionError(f"{stream}: a push without its token gives {type(error).__name__}") from error
                raise AssertionError(f"{stream}: a push with {headers or 'no token'} is accepted")

"""Whether the connector could work now: who the token is, what it lacks, and the sweep's own search."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.splunk_es.jobs import ALL_TIME, Jobs
from nightdesk.connectors.splunk_es.splunkd import VENDOR, Splunkd
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ConfigError, ResponseError, VendorError
from nightdesk.sdk.ports import Health

__all__ = ["CAPABILITIES", "examine"]

CAPABILITIES = ("search", "edit_notable_events")


async def examine(splunkd: Splunkd, jobs: Jobs, query: str, clock: Clock, *, settle: int) -> Health:
    """Contacts the vendor as a poll does; what is wrong there is a problem in the answer, never an exception."""
    begin = clock()
    version, problems = "", []
    try:
        who = _content(await splunkd.get("/services/authentication/current-context", "check token"), "check token")
        held = who.get("capabilities") or ()
        held = {held} if isinstance(held, str) else set(held)
        problems = [
            f"the token of {splunkd.said(who.get('username') or 'an unknown user')} lacks the capability {name}; grant "
            f"it to one of the roles {splunkd.said(who.get('roles') or 'none')}"
            for name in CAPABILITIES
            if name not in held
        ]
        server = _content(await splunkd.get("/services/server/info", "read version"), "read version")
        version = str(server.get("version") or "")
        if "search" in held:
            now = int(begin.timestamp())
            window = {"index_earliest": now - 60, "index_latest": now + 1}
            async with jobs.search(query, "check search", **window, **ALL_TIME) as found:
                problems.extend(f"searches are incomplete: {text}" for text in found.problems)
    except (VendorError, ConfigError) as error:
        problems.append(str(error))
    skew = splunkd.clock_skew
    if skew is not None and abs(skew) > max(settle, 1):
        problems.append(f"the clocks differ by {skew:+.0f} s, more than settle ({settle} s); set them right")
    return Health(not problems, tuple(problems), version, skew, (clock() - begin).total_seconds())


def _content(answer: Any, operation: str) -> Mapping[str, Any]:
    """The content of the first entry, the shape of every splunkd answer that is about one thing."""
    try:
        content = answer["entry"][0]["content"]
    except (LookupError, TypeError):
        content = None
    if not isinstance(content, Mapping):
        raise ResponseError("the answer holds no entry; check base_url", vendor=VENDOR, operation=operation)
    return content

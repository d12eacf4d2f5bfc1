# requires: okta==3.4.6
"""Okta's own Python client against the simulator: reads the log, finds a user, suspends and clears, and looks again."""

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

_CHECK = "OKTA_TESTING_TESTINGDISABLEHTTPSCHECK"  # the client's own switch for servers that are not https


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"okta client: {message}")


async def _log(client: Any, wanted: set[str]) -> None:
    next_cursor = importlib.import_module("okta.pagination").PaginationHelper.extract_next_cursor
    found: set[str] = set()
    after = None
    for _ in range(1000):
        events, response, error = await client.list_log_events(limit=2, sort_order="ASCENDING", after=after)
        _need(not error, f"the log cannot be listed: {error}")
        after = next_cursor(response.headers)
        _need(after, "a polling query has no link to the next page")
        if not events:
            break
        found |= {event.uuid for event in events}
    _need(wanted <= found, f"{len(wanted - found)} of {len(wanted)} events are not in the log")
    one = min(wanted)
    events, _, error = await client.list_log_events(filter=f'uuid eq "{one}"', since="2020-01-01T00:00:00Z")
    _need(error, "a search from years ago is accepted")
    events, _, error = await client.list_log_events(filter=f'uuid eq "{one}"')
    _need(not error and [event.uuid for event in events] == [one], f"the event {one} is not found alone: {error}")


async def _account(client: Any) -> None:
    users, _, error = await client.list_users(search='status eq "ACTIVE"')
    _need(not error and users, f"no active user is found: {error}")
    user_id = users[0].id
    *_, error = await client.suspend_user(user_id)
    _need(not error, f"the user cannot be suspended: {error}")
    *_, error = await client.suspend_user(user_id)
    _need(error and "E0000001" in str(error), f"a suspended user is suspended again: {error}")
    user, _, error = await client.get_user(user_id)
    _need(not error and user.status.value == "SUSPENDED", f"the suspended user is {user and user.status}: {error}")
    *_, error = await client.revoke_user_sessions(user_id, oauth_tokens=True)
    _need(not error, f"the sessions cannot be cleared: {error}")
    *_, error = await client.unsuspend_user(user_id)
    _need(not error, f"the user cannot be unsuspended: {error}")
    groups, _, error = await client.list_user_groups(user_id)
    _need(not error and groups, f"the user's groups cannot be listed: {error}")


async def _zones(client: Any) -> None:
    zones, _, error = await client.list_network_zones()
    _need(not error and zones, f"the zones cannot be listed: {error}")
    names = {zone.name for zone in zones}
    _need("BlockedIpZone" in names, f"the zone of blocked addresses is missing among {names}")


async def _main(given: dict[str, Any]) -> None:
    os.environ[_CHECK] = "true"
    here = Path(__file__).resolve().parent  # this file is called like the library, and its folder is searched first
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != here]
    made = importlib.import_module("okta.client").Client

    settings = {"orgUrl": given["base_url"], "token": given["api_token"], "logging": {"enabled": False}}
    client = made(settings)
    await _log(client, set(given["alerts"]))
    await _account(client)
    await _zones(client)
    wrong = made({**settings, "token": "somebody-elses-token"})
    *_, error = await wrong.list_users()
    _need(error and "E0000011" in str(error), f"another token is accepted: {error}")


if __name__ == "__main__":
    asyncio.run(_main(json.load(sys.stdin)))

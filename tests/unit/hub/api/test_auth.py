from datetime import timedelta
from typing import Any

import pytest

from nightdesk.hub.api.auth import SESSION_HOURS, Sessions
from nightdesk.hub.api.view import Principal, Role


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(b"k" * 32)


def test_a_session_names_its_holder_as_the_hub_knows_it_now(stage: Any, hub: Any, sessions: Sessions) -> None:
    cookie = sessions.issue(stage.PRINCIPALS["north-viewer"], hub.now)
    hub.principals["north-viewer"] = Principal("north", "vera", Role.ANALYST)
    assert sessions.read(cookie, hub) == Principal("north", "vera", Role.ANALYST)


def test_a_session_ends_when_its_holder_is_revoked(stage: Any, hub: Any, sessions: Sessions) -> None:
    cookie = sessions.issue(stage.PRINCIPALS["north-viewer"], hub.now)
    del hub.principals["north-viewer"]
    assert sessions.read(cookie, hub) is None


def test_a_session_ends_by_itself(stage: Any, hub: Any, sessions: Sessions) -> None:
    cookie = sessions.issue(stage.PRINCIPALS["north-viewer"], hub.now)
    hub.now += timedelta(hours=SESSION_HOURS, seconds=-1)
    assert sessions.read(cookie, hub) is not None
    hub.now += timedelta(seconds=1)
    assert sessions.read(cookie, hub) is None


def test_a_cookie_of_another_key_or_with_another_body_is_nobody(stage: Any, hub: Any, sessions: Sessions) -> None:
    viewer, other = stage.PRINCIPALS["north-viewer"], stage.PRINCIPALS["south-viewer"]
    mine, foreign = sessions.issue(viewer, hub.now), sessions.issue(other, hub.now)
    assert Sessions(b"x" * 32).read(mine, hub) is None
    assert sessions.read(f"{foreign.partition('.')[0]}.{mine.partition('.')[2]}", hub) is None


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é.é", "!!!!.????", "AAAA.AAAA"])
def test_a_broken_cookie_is_nobody(hub: Any, sessions: Sessions, cookie: str) -> None:
    assert sessions.read(cookie, hub) is None


def test_the_cookie_does_not_hold_the_token(stage: Any, hub: Any, sessions: Sessions) -> None:
    import base64

    cookie = sessions.issue(stage.PRINCIPALS["north-viewer"], hub.now)
    body = cookie.partition(".")[0]
    assert b"north-viewer" not in base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))

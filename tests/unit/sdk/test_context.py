import asyncio
from datetime import timedelta

import pytest

from nightdesk.sdk.context import Context, Settings, utc_now
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.secrets import Secret

SETTINGS = Settings(
    {"url": "https://vendor.example", "page": 50, "verify": False, "empty": None, "key": Secret("env:KEY")}
)


def test_settings_are_read_by_type() -> None:
    assert SETTINGS.text("url") == "https://vendor.example"
    assert SETTINGS.text("page") == "50"
    assert SETTINGS.integer("page", 10) == 50
    assert SETTINGS.flag("verify", default=True) is False
    assert SETTINGS.secret("key") == Secret("env:KEY")


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_what_is_not_given_is_the_default(name: str) -> None:
    assert (SETTINGS.text(name, "a"), SETTINGS.integer(name, 7), SETTINGS.flag(name, True)) == ("a", 7, True)
    assert not SETTINGS.has(name)
    assert SETTINGS.has("verify")


@pytest.mark.parametrize("name", ["absent", "url"])
def test_a_secret_that_is_none_is_a_configuration_error_that_names_it(name: str) -> None:
    with pytest.raises(ConfigError, match=f"settings: {name}: is required") as caught:
        SETTINGS.secret(name)
    assert "vendor.example" not in str(caught.value)


def test_a_context_shows_no_secret_and_works_with_the_real_time() -> None:
    context = Context("tenant-a", "acme-1", Settings({"key": Secret.literal("hush-hush")}))
    assert "hush-hush" not in repr(context)
    assert context.clock().utcoffset() == timedelta(0)
    asyncio.run(asyncio.wait_for(context.sleep(0), 5))


def test_the_present_is_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)

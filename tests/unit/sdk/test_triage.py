from typing import Any

import pytest

from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.triage import DISPOSITIONS, Verdicts, Wish, is_ours, marker
from nightdesk.sdk.verbs import TargetKind

_VERDICTS = Verdicts(
    "Acme",
    {**dict.fromkeys(DISPOSITIONS, "other"), "true-positive": "TP", "likely-true-positive": "TP", "": "none"},
    {"TP": "true-positive"},
)


def command(verb: str = "alert.set_disposition", key: str = "k-1", before: Any = None, **parameters: Any) -> Command:
    return Command(
        "acme", "a-1", verb, Target(TargetKind.ALERT, "x-1"), key, FakeTime().clock(), native_id="x-1",
        parameters=parameters, pre_state=before or {},
    )  # fmt: skip


def test_a_wish_says_only_what_was_asked() -> None:
    wish = Wish.of(command(status="closed"))
    assert (wish.status, wish.disposition, wish.comment) == ("closed", None, "")
    assert Wish.of(command(disposition="false_positive")).disposition == "false-positive"


def test_a_comment_ends_with_the_commands_own_marker() -> None:
    wish = Wish.of(command("alert.comment", comment=" seen "))
    assert wish.comment == f"seen {wish.marker}"
    assert wish.marker == marker(command(key="k-1"))
    assert wish.marker != marker(command(key="k-2"))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (command(status="done"), RejectedError),
        (command(disposition="bad"), RejectedError),
        (command("alert.comment", comment=" "), RejectedError),
        (command("alert.comment", status="closed", comment="x"), UnsupportedError),
        (command(colour="red"), UnsupportedError),
        (command("host.isolate", status="open"), UnsupportedError),
    ],
)
def test_what_is_not_understood_is_refused(given: Command, error: type[Exception]) -> None:
    with pytest.raises(error):
        Wish.of(given)


def test_a_verdict_that_the_scale_cannot_say_is_a_named_loss() -> None:
    assert _VERDICTS.losses(Wish.of(command(disposition="true-positive"))) == ()
    assert _VERDICTS.losses(Wish.of(command(status="closed"))) == ()
    (loss,) = _VERDICTS.losses(Wish.of(command(disposition="likely-true-positive")))
    assert loss == "disposition=likely-true-positive: Acme keeps it as TP"
    assert _VERDICTS.losses(Wish.of(command(disposition=""))) == ()


@pytest.mark.parametrize(
    ("before", "parameters", "ours"),
    [
        ({}, {"status": "closed"}, False),
        ({"status": "open"}, {"status": "closed"}, True),
        ({"status": "closed"}, {"status": "closed"}, False),
        ({"status": "closed", "disposition": ""}, {"status": "closed", "disposition": "true-positive"}, True),
        ({"disposition": "true-positive"}, {"disposition": "likely-true-positive"}, False),
    ],
)
def test_a_repeat_is_told_from_somebody_elses_work_by_the_pre_state(
    before: dict[str, str], parameters: dict[str, str], ours: bool
) -> None:
    wanted = command(before=before, **parameters)
    assert _VERDICTS.repeated(wanted, Wish.of(wanted)) is ours


def test_what_we_wrote_is_known_as_ours_wherever_it_stands() -> None:
    assert is_ours(f"closed\n{Wish.of(command('alert.comment', comment='x')).comment}, says the bot")
    assert not is_ours("[nightdesk] is down [nightdesk 12]")

"""The sender's line is CEF as the dictionary has it, and has arrived when it says so."""

import gc
import time
from concurrent.futures import thread
from dataclasses import replace

from tests.goldens import ACME, normalizer

from nightdesk.connectors.syslog.payloads import line
from nightdesk.connectors.syslog.segments import read_spool, read_state
from nightdesk.connectors.syslog.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert


def test_what_was_added_has_arrived() -> None:
    sender = Simulator()
    uids = [sender.add(an_alert(FakeTime(), f"alert-{number}")) for number in range(20)]
    found = [one.data for one in read_spool(sender.folder, None, 100).messages]
    assert [uid for uid, data in zip(uids, found, strict=True) if f"externalId={uid} ".encode() in data] == uids


def test_a_line_is_mapped_complete_whatever_the_title_holds() -> None:
    alert = replace(an_alert(FakeTime(), "one"), title=r"a|b\c", description="x=y\nz")
    found = normalizer().normalize("cef_leef", line(alert).encode(), ACME)
    assert (found.alert.native_id, found.alert.title, found.alert.description) == ("one", r"a|b\c", "x=y\nz")
    assert (found.loss.lost, found.loss.wrong, found.alert.severity_id) == ((), (), 4)
    assert {"jdoe", "ws-0042"} <= {entity.value for entity in found.alert.entities}
    reached = replace(alert, source_address="203.0.113.9")
    found = normalizer().normalize("cef_leef", line(reached).encode(), ACME)
    assert {"192.0.2.42", "203.0.113.9"} <= {entity.value for entity in found.alert.entities}


def test_a_sender_that_is_no_longer_needed_holds_nobody_up() -> None:
    """The garbage collector may come under the lock of every executor, which the listener's own thread then wants."""
    sender = Simulator()
    sender.add(an_alert(FakeTime(), "one"))
    folder, end = sender.folder, time.monotonic() + 10
    while read_state(folder).get("stored") != 1:  # from now on the listener waits
        time.sleep(0.01)
    with thread._global_shutdown_lock:
        del sender
        gc.collect()
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.01)
        gc.collect()
    assert not folder.exists()

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.connectors.smtp.messages import Mail, compose
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.targets import Target
from nightdesk.sdk.triage import is_ours, marker

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SENDER, LINK = "nightdesk@example.com", "https://nightdesk.example.com/cases/7?tab=a&b=c"
HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Nightdesk-Case", "References",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}  # fmt: skip


def command(verb: str = "notify.send", *, key: str = "key-1", case_id: str = "case-7", **parameters: Any) -> Command:
    target = Target.parse("person:soc@example.com")
    return Command("acme", "action-1", verb, target, key, NOON, "", parameters, case_id=case_id)


def made(wish: Command, sender: str = SENDER) -> tuple[Mail, EmailMessage]:
    mail = compose(wish, sender, ("soc@example.com", "oncall@example.com"), NOON)
    found = message_from_bytes(mail.content, policy=SMTP)
    assert isinstance(found, EmailMessage)
    return mail, found


def body(found: EmailMessage) -> str:
    return str(found.get_content()).replace("\r\n", "\n")


def test_the_head_says_who_to_whom_when_what_and_that_a_machine_wrote_it() -> None:
    mail, found = made(command(title="WS-0042", severity="high"))
    assert (found["From"], found["To"]) == (f"nightdesk <{SENDER}>", "soc@example.com, oncall@example.com")
    assert found["Subject"] == "[high] WS-0042"
    assert parsedate_to_datetime(found["Date"]) == NOON
    assert (found["Auto-Submitted"], found["X-Nightdesk-Case"]) == ("auto-generated", "case-7")
    assert (found["Message-ID"], found.get_content_type()) == (mail.message_id, "text/plain")
    assert set(found.keys()) == HEADERS
    assert found.defects == []


def test_the_message_id_is_the_commands_own_and_the_thread_the_cases() -> None:
    first, one = made(command(title="one"))
    second, two = made(command(title="one, told again"))
    other, three = made(command(title="one", key="key-2"))
    assert first.message_id == second.message_id != other.message_id
    assert first.message_id.endswith("@example.com>")
    assert one["References"] == two["References"] == three["References"]
    assert made(command(title="one", case_id=""))[1]["References"] is None


def test_ids_stay_whole_however_long_the_senders_domain_is() -> None:
    domain = ".".join(["a" * 60] * 3 + ["example.com"])
    mail, found = made(command(title="x"), f"nightdesk@{domain}")
    assert found["Message-ID"] == mail.message_id
    assert f"@{domain}>".encode() in mail.content
    assert found["From"] == f"nightdesk <nightdesk@{domain}>"


def test_a_text_ends_with_our_marker() -> None:
    wish = command(title="WS-0042", text="It beacons", severity="high", link=LINK)
    text = body(made(wish)[1])
    assert text == (
        f"WS-0042\n\nIt beacons\n\nSeverity: high\nCase: case-7\n\nOpen in nightdesk:\n<{LINK}>\n\n{marker(wish)}\n"
    )
    assert is_ours(text)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1e"])
def test_no_line_end_of_a_title_begins_a_header(end: str) -> None:
    _, found = made(command(title=f"WS-0042{end}Bcc: x@example.net{end}{end}<html>"))
    assert found["Subject"] == "WS-0042 Bcc: x@example.net <html>"
    assert set(found.keys()) == HEADERS


@pytest.mark.parametrize("name", ["severity", "title"])
def test_no_other_word_begins_a_header_either(name: str) -> None:
    given = {"title": "x", name: "high\r\nBcc: x@example.net"}
    assert set(made(command(**given))[1].keys()) == HEADERS
    assert set(made(command(title="x", case_id="7\r\nBcc: x@example.net"))[1].keys()) == HEADERS


def test_letters_that_nobody_sees_are_spelled() -> None:
    _, found = made(command(title="invoice\u202egnp.exe\x00\x1b[31m", text="a\u200bb\ud800c\U000e0041\ttab"))
    assert found["Subject"] == r"invoice\u202egnp.exe\u0000\u001b[31m"
    assert "a\\u200bb\\ud800c\\U000e0041\ttab" in body(found)


def test_addresses_cannot_be_followed_by_a_slip_of_the_finger() -> None:
    wish = command(title="HTTP://bad.example.com/a", text="https://b.example.com ftp://c.example.com www.d.example")
    text = body(made(wish)[1])
    assert "hxxp://bad.example.com/a" in text
    assert "hxxps://b.example.com ftp[:]//c.example.com www[.]d.example" in text


def test_what_looks_like_html_is_text_of_a_text() -> None:
    mail, found = made(command(title="<img src=x>", text="<script>alert(1)</script> & co"))
    assert not found.is_multipart()
    assert "<script>alert(1)</script> & co" in body(found)
    assert b"text/html" not in mail.content


def test_any_letters_arrive_in_seven_bits_and_short_lines() -> None:
    title, text = "Überfällig 日本語 " * 5, "déjà vu " * 4000 + "\n.\n..\n.last\nFrom here"
    mail, found = made(command(title=title, text=text))
    assert mail.content.isascii()
    assert max(len(line) for line in mail.content.split(b"\r\n")) <= 78
    assert b"\n" not in mail.content.replace(b"\r\n", b"")
    assert found["Subject"] == title.strip()
    assert text in body(found)


def test_what_is_cut_is_a_loss() -> None:
    mail, found = made(command(title="t" * 201, text="x" * 100_001))
    assert mail.losses == ("title: cut after 199 letters", "text: cut after 99,999 letters")
    assert found["Subject"] == "t" * 199 + "…"


def test_without_a_title_the_first_line_is_the_subject() -> None:
    assert made(command(text="It beacons\nfor hours"))[1]["Subject"] == "It beacons"


def test_a_request_leads_to_the_hub_and_decides_nothing() -> None:
    wish = command("approval.request", title="Isolate WS-0042?", options=["approve", "reject"], link=LINK)
    mail, found = made(wish)
    text = body(found)
    assert mail.losses == ()
    assert "To choose from:\n- approve\n- reject\n\nDecide in nightdesk" in text
    assert text.count("://") == text.count(LINK) == 1


def test_a_request_without_a_link_says_so_and_names_the_loss() -> None:
    mail, found = made(command("approval.request", title="Isolate WS-0042?"))
    assert [loss.partition(":")[0] for loss in mail.losses] == ["options"]
    assert "- approve\n- reject\n\nDecide in nightdesk; an answer to this mail is not read." in body(found)


@pytest.mark.parametrize(
    ("verb", "given", "says"),
    [
        ("notify.send", {"title": " ", "text": "\n"}, "both empty"),
        ("notify.send", {"title": "x", "link": "javascript:alert(1)"}, "http or https"),
        ("notify.send", {"title": "x", "link": "https://a.example.com/> x"}, "http or https"),
        ("notify.send", {"title": "x", "link": "https://a.example.com/\r\nBcc: x"}, "http or https"),
        ("notify.send", {"title": "x", "link": "https://b\u202ed.example.com"}, "http or https"),
        ("approval.request", {"title": "x", "options": "approve"}, "write 1 to 25"),
        ("approval.request", {"title": "x", "options": ["a", ""]}, "write 1 to 25"),
        ("approval.request", {"title": "x", "options": ["a"] * 26}, "write 1 to 25"),
        ("approval.request", {"title": "x", "options": ["a", "a"]}, "two are the same"),
    ],
)
def test_what_cannot_be_said_is_refused(verb: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(RejectedError, match=says):
        made(command(verb, **given))


_ANY = st.text(st.characters(), max_size=300)


@given(title=_ANY, text=_ANY, severity=_ANY, case_id=_ANY)
def test_whatever_an_alert_says_the_mail_is_one_mail(title: str, text: str, severity: str, case_id: str) -> None:
    try:
        mail, found = made(command(title=title, text=text, severity=severity, case_id=case_id))
    except RejectedError:
        assert not (title + text).strip()
        return
    assert mail.content.isascii()
    assert b"\n" not in mail.content.replace(b"\r\n", b"")
    assert len(found.keys()) == len(set(found.keys()))
    assert set(found.keys()) <= HEADERS
    assert max(len(line) for line in mail.content.split(b"\r\n")) <= 998
    assert (found["Message-ID"], found.is_multipart()) == (mail.message_id, False)
    assert is_ours(body(found))

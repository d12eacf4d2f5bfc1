# requires: pysnc==1.2.1
"""ServiceNow's own Python client against the simulator: makes tickets, pages through them, changes and reads one."""

import importlib
import json
import sys
from typing import Any

_INSTANCE = "https://acme.example.com"  # the client refuses plain http: the adapter below leads it to the simulator


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"pysnc: {message}")


def _client(given: dict[str, Any], password: str) -> Any:
    requests = importlib.import_module("requests")

    class Loopback(requests.adapters.HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:
            request.url = request.url.replace(_INSTANCE, given["base_url"], 1)
            return super().send(request, **options)

    session = requests.Session()
    session.auth = (given["username"], password)
    session.mount(_INSTANCE, Loopback())
    return importlib.import_module("pysnc").ServiceNowClient(_INSTANCE, session, auto_retry=False)


def _make(client: Any, title: str) -> str:
    record = client.GlideRecord("incident")
    record.initialize()
    record.short_description = title
    record.correlation_id = f"case-{title}"
    record.urgency = "1"
    record.impact = "1"
    made = record.insert()
    _need(made, f"the ticket {title} cannot be made")
    _need(record.get_value("priority") == "1", f"its priority is {record.get_value('priority')}, not computed")
    return str(made)


def _list(client: Any, wanted: set[str]) -> None:
    found = client.GlideRecord("incident", batch_size=2)
    found.add_query("correlation_id", "STARTSWITH", "case-")
    found.add_query("state", "1")
    found.order_by("number")
    found.query()
    _need(found.get_row_count() == len(wanted), f"{found.get_row_count()} tickets are counted, not {len(wanted)}")
    names = [str(row.sys_id) for row in found]
    _need(set(names) == wanted and len(names) == len(wanted), f"{len(names)} tickets are listed, not {len(wanted)}")


def _change(client: Any, native_id: str) -> None:
    roles = importlib.import_module("pysnc.exceptions").RoleException
    record = client.GlideRecord("incident")
    _need(record.get(native_id), "a ticket is not found by its sys_id")
    record.state = "6"
    try:
        record.update()
    except roles:
        record.get(native_id)
    _need(record.get_value("state") == "1", "a ticket is resolved without close code and notes")
    record = client.GlideRecord("incident")
    record.get(native_id)
    record.work_notes = "seen by pysnc"
    record.state = "6"
    record.close_code = "Duplicate"
    record.close_notes = "again"
    _need(record.update(), "a ticket cannot be resolved")
    record = client.GlideRecord("incident")
    record.get(native_id)
    _need(record.get_display_value("state") == "Resolved", f"its state reads {record.get_display_value('state')}")
    _need("seen by pysnc" in record.get_display_value("work_notes"), "the work note is not shown")
    journal = client.GlideRecord("sys_journal_field")
    journal.add_query("element_id", native_id)
    journal.query()
    _need([row.get_value("value") for row in journal] == ["seen by pysnc"], "the journal has other entries")


def _main(given: dict[str, Any]) -> None:
    client = _client(given, given["password"])
    wanted = {_make(client, title) for title in ("one", "two", "three")}
    _list(client, wanted)
    _change(client, min(wanted))
    _need(not client.GlideRecord("incident").get("0" * 32), "a ticket that is not there is found")
    wrong = _client(given, "somebody-elses-password").GlideRecord("incident")
    try:
        wrong.query()
    except importlib.import_module("pysnc.exceptions").AuthenticationException:
        return
    _need(False, "another password is accepted")


if __name__ == "__main__":
    _main(json.load(sys.stdin))

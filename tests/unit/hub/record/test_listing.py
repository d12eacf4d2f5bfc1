"""The record as a list, and everything beside it that a decision stands on, checked."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select, update
from tests.ruled import RuledDesk, policy_for

from nightdesk.hub.record.listing import listed, verified
from nightdesk.hub.store.codec import dump, load
from nightdesk.hub.store.schema import playbook_run
from nightdesk.sdk.errors import ConfigError


def test_a_run_whose_documents_are_not_what_was_signed_for_is_named(tmp_path: Path) -> None:
    """Law 11 for playbooks: the content a rule names by its hash is kept by the run, and checked like the record."""
    with ExitStack() as stack:
        desk = RuledDesk(stack, tmp_path / "desk", policy_for())
        desk.alert("a-1")
        (run,) = desk.runs
        with desk.store.read() as conn:
            assert verified(conn, "acme").problems == ()
            assert listed(conn, "acme", limit=9)[0].seq == 1
            assert listed(conn, "beta", limit=9) == []  # law 3
            with pytest.raises(ConfigError, match="is none of close"):
                listed(conn, "acme", outcome="shut", limit=9)
            body = load(conn.execute(select(playbook_run.c.body)).scalar_one())
        body["documents"][run.playbook_id]["name"] = "another"
        with desk.store.begin() as conn:
            conn.execute(update(playbook_run).values(body=dump(body)))
        with desk.store.read() as conn:
            assert verified(conn, "acme").problems == (
                f"playbook run {run.run_id} of acme: its documents are not those that were signed for",
            )

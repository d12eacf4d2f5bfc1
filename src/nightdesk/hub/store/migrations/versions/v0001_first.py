"""Version 0001: everything from raw records to actions and their audit."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def _words(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, _TEXT, nullable=nullable) for name in names]


def _numbers(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False) for name in names]


def _blobs(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.LargeBinary, nullable=False) for name in names]


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    """Makes every table."""
    _intake()
    _evidence()
    _record()


def _intake() -> None:
    op.create_table(
        "counter",
        *_words("tenant", "name"),
        *_numbers("value"),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "chain_head",
        *_words("tenant", "chain"),
        *_numbers("seq"),
        *_words("hash"),
        sa.PrimaryKeyConstraint("tenant", "chain"),
    )
    op.create_table(
        "ledger",
        *_words("tenant", "instance", "stream"),
        *_numbers("received", "duplicate"),
        sa.PrimaryKeyConstraint("tenant", "instance", "stream"),
    )
    op.create_table(
        "cursor",
        *_words("tenant", "instance", "stream"),
        *_blobs("position"),
        *_words("moved_at"),
        sa.PrimaryKeyConstraint("tenant", "instance", "stream"),
    )
    op.create_table(
        "inbox",
        *_words("tenant"),
        *_numbers("seq"),
        *_words("instance", "stream", "product", "key", "native_id", "state", "received_at"),
        sa.PrimaryKeyConstraint("tenant", "seq"),
    )
    op.create_index("inbox_key", "inbox", ["tenant", "instance", "stream", "key"], unique=True)
    _partial("inbox_quarantined", "inbox", ["tenant", "seq"], "state = 'quarantined'")
    op.create_index("inbox_state", "inbox", ["tenant", "instance", "stream", "state"])
    _partial("inbox_waiting", "inbox", ["tenant", "seq"], "state = 'waiting'")
    op.create_table(
        "inbox_payload",
        *_words("tenant"),
        *_numbers("seq"),
        *_blobs("payload"),
        *_words("media_type"),
        sa.PrimaryKeyConstraint("tenant", "seq"),
    )
    op.create_table(
        "quarantine",
        *_words("tenant"),
        *_numbers("seq"),
        *_words("reason", "pointer", "quarantined_at"),
        *_numbers("attempts"),
        sa.PrimaryKeyConstraint("tenant", "seq"),
    )


def _evidence() -> None:
    op.create_table(
        "stix_object",
        *_words("tenant", "id", "type", "created", "modified", "sha256"),
        *_blobs("body"),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_table(
        "alert",
        *_words("tenant", "alert_id"),
        *_words("case_id", nullable=True),
        *_numbers("seq", "newest_seq", "number"),
        *_words("product", "instance", "native_id", "rule_id"),
        *_numbers("severity_id"),
        *_words("title", "created", "modified", "sha256", "content_sha256", "previous_sha256"),
        *_blobs("facts"),
        sa.PrimaryKeyConstraint("tenant", "alert_id"),
    )
    op.create_index("alert_case", "alert", ["tenant", "case_id", "seq"])
    op.create_index("alert_native", "alert", ["tenant", "instance", "native_id"])
    op.create_table(
        "alert_bundle",
        *_words("tenant"),
        *_numbers("number"),
        *_blobs("bundle", "loss"),
        sa.PrimaryKeyConstraint("tenant", "number"),
    )
    op.create_table(
        "case_file",
        *_words("tenant", "case_id", "title", "status"),
        *_numbers("severity_id"),
        *_words("opened_at", "updated_at"),
        *_numbers("alert_count"),
        *_words("entity_summary", "latest_decision", "latest_outcome", "latest_reason"),
        *_words("hold_until", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "case_id"),
    )
    _partial("case_held", "case_file", ["tenant", "hold_until"], "hold_until IS NOT NULL")
    op.create_index("case_status", "case_file", ["tenant", "status", "updated_at", "case_id"])
    op.create_index("case_updated", "case_file", ["tenant", "updated_at", "case_id"])
    op.create_table(
        "case_entity",
        *_words("tenant", "entity_key", "case_id", "last_seen"),
        sa.PrimaryKeyConstraint("tenant", "entity_key", "case_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("case_entity_seen", "case_entity", ["tenant", "entity_key", "last_seen"])


def _record() -> None:
    op.create_table(
        "decision",
        *_words("tenant"),
        *_numbers("seq"),
        *_words("decision_id", "case_id", "outcome", "decided_at", "previous_hash", "hash"),
        *_blobs("record"),
        sa.PrimaryKeyConstraint("tenant", "seq"),
    )
    op.create_index("decision_case", "decision", ["tenant", "case_id", "seq"])
    op.create_index("decision_id", "decision", ["tenant", "decision_id"], unique=True)
    op.create_table(
        "audit",
        *_words("tenant"),
        *_numbers("seq"),
        *_words("at", "actor", "event", "previous_hash", "hash"),
        *_blobs("record"),
        sa.PrimaryKeyConstraint("tenant", "seq"),
    )
    op.create_table(
        "action",
        *_words("tenant", "action_id"),
        *_numbers("seq"),
        *_words("case_id", "decision_id", "idempotency_key", "target_key", "family"),
        *_numbers("generation"),
        *_words("state", "created_at", "updated_at"),
        *_words("lease_until", nullable=True),
        *_numbers("moves"),
        *_blobs("body"),
        sa.PrimaryKeyConstraint("tenant", "action_id"),
    )
    op.create_index("action_case", "action", ["tenant", "case_id", "state"])
    op.create_index("action_idempotency", "action", ["tenant", "idempotency_key"], unique=True)
    _partial("action_lease", "action", ["tenant", "lease_until"], "state IN ('leased', 'renewed')")
    _partial(
        "action_live",
        "action",
        ["tenant", "state", "seq"],
        "state NOT IN ('cancelled', 'failed', 'rejected', 'undone')",
    )
    op.create_index("action_target", "action", ["tenant", "target_key", "family", "generation"])
    op.create_table(
        "action_journal",
        *_words("tenant", "action_id"),
        *_numbers("seq"),
        *_words("at", "state", "actor"),
        *_blobs("detail"),
        sa.PrimaryKeyConstraint("tenant", "action_id", "seq"),
    )

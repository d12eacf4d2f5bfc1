"""Version 0002: what is stopped, playbooks that run, OpenC2 commands, and the newest actions of a family."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def upgrade() -> None:
    """Adds three tables and one index."""
    op.create_table(
        "switch",
        *_words("tenant", "scope", "subject", "state", "reason", "changed_by", "changed_at", "asked_by"),
        sa.PrimaryKeyConstraint("tenant", "scope", "subject"),
    )
    op.create_table(
        "playbook_run",
        *_words("tenant", "run_id", "playbook_id", "case_id", "state", "started_at", "updated_at"),
        sa.Column("moves", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "run_id"),
    )
    op.create_index("playbook_run_state", "playbook_run", ["tenant", "state", "updated_at"])
    op.create_index("playbook_run_case", "playbook_run", ["tenant", "case_id"])
    op.create_table(
        "openc2_command",
        *_words("tenant", "command_id", "request_id", "action_id", "received_at"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "command_id"),
    )
    op.create_index("action_recent", "action", ["tenant", "family", "created_at"])

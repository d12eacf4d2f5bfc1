"""Version 0004: what decisions were made with, kept by its hash."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Adds one table."""
    op.create_table(
        "artefact",
        *(sa.Column(name, _TEXT, nullable=False) for name in ("tenant", "kind", "sha256", "kept_at")),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "sha256"),
    )

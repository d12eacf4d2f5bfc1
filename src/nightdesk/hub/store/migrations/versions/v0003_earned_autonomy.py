"""Version 0003: groups, linked cases, suppressions, enrichments, labels, levels, samples, canaries, models."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False) for name in names]


def _body() -> sa.Column[bytes]:
    return sa.Column("body", sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Adds nine tables."""
    op.create_table(
        "alert_group",
        *_words("tenant", "group_id", "entity_key", "rule_key", "opened_at", "last_seen", "case_id"),
        *_numbers("alerts"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "group_id"),
    )
    op.create_index("alert_group_entity", "alert_group", ["tenant", "entity_key", "last_seen"])
    op.create_index("alert_group_rule", "alert_group", ["tenant", "rule_key", "last_seen"])
    op.create_index("alert_group_case", "alert_group", ["tenant", "case_id"])
    op.create_table(
        "case_link",
        *_words("tenant", "case_id", "other_case", "relation", "at", "actor", "reason"),
        sa.PrimaryKeyConstraint("tenant", "case_id", "other_case", "relation"),
    )
    op.create_index("case_link_other", "case_link", ["tenant", "other_case"])
    op.create_table(
        "suppression",
        *_words("tenant", "suppression_id", "state", "owner", "created_at", "expires_at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "suppression_id"),
    )
    op.create_index("suppression_state", "suppression", ["tenant", "state", "expires_at"])
    op.create_table(
        "enrichment",
        *_words("tenant", "source", "key", "status", "fetched_at", "expires_at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "source", "key"),
    )
    op.create_index("enrichment_expires", "enrichment", ["tenant", "expires_at"])
    op.create_table(
        "verdict_label",
        *_words("tenant"),
        *_numbers("seq"),
        *_words("label_id", "unit", "case_id", "analyst", "state", "at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "seq"),
    )
    op.create_index("verdict_label_id", "verdict_label", ["tenant", "label_id"], unique=True)
    op.create_index("verdict_label_unit", "verdict_label", ["tenant", "unit", "seq"])
    op.create_index("verdict_label_analyst", "verdict_label", ["tenant", "analyst", "at"])
    op.create_index("verdict_label_case", "verdict_label", ["tenant", "case_id"])
    op.create_table(
        "unit_level",
        *_words("tenant", "unit", "decision_class"),
        *_numbers("level", "moves"),
        *_words("updated_at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "unit", "decision_class"),
    )
    op.create_index("unit_level_level", "unit_level", ["tenant", "decision_class", "level"])
    op.create_table(
        "qa_item",
        *_words("tenant", "item_id", "decision_id", "case_id", "unit", "state", "drawn_at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "item_id"),
    )
    op.create_index("qa_item_state", "qa_item", ["tenant", "state", "drawn_at"])
    op.create_index("qa_item_unit", "qa_item", ["tenant", "unit", "drawn_at"])
    op.create_table(
        "canary",
        *_words("tenant", "canary_id", "family", "state", "planted_at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "canary_id"),
    )
    op.create_index("canary_state", "canary", ["tenant", "state", "planted_at"])
    op.create_index("canary_family", "canary", ["tenant", "family", "planted_at"])
    op.create_table(
        "learned_model",
        *_words("tenant", "model_id", "role", "trained_at"),
        _body(),
        sa.PrimaryKeyConstraint("tenant", "model_id"),
    )
    op.create_index("learned_model_role", "learned_model", ["tenant", "role"])

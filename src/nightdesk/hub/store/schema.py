"""The tables. Every primary key, unique constraint and index starts with the tenant (law 3).

Blobs stand in tables of their own, so that a change of state never rewrites them. Text compares by code point on
both engines. A change here needs a migration beside it.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects import postgresql

from nightdesk.autonomy.actions import FOLLOWS, ActionState

__all__ = [
    "HELD",
    "LEASED",
    "LIVE",
    "OVER",
    "QUARANTINED",
    "REVISION",
    "TEXT",
    "WAITING",
    "action",
    "action_journal",
    "alert",
    "alert_bundle",
    "alert_group",
    "artefact",
    "audit",
    "canary",
    "case_entity",
    "case_file",
    "case_link",
    "chain_head",
    "counter",
    "cursor",
    "decision",
    "enrichment",
    "inbox",
    "inbox_payload",
    "learned_model",
    "ledger",
    "metadata",
    "openc2_command",
    "playbook_run",
    "qa_item",
    "quarantine",
    "stix_object",
    "suppression",
    "switch",
    "unit_level",
    "verdict_label",
]

REVISION = "0004"
"""The newest step under migrations/, here so that an up-to-date database is opened without loading Alembic."""

metadata = MetaData()
TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

OVER = tuple(sorted(state for state, after in FOLLOWS.items() if not after))
"""States that nothing follows."""

# The partial indexes below are used only when a query repeats their condition literally.
WAITING = text("state = 'waiting'")
QUARANTINED = text("state = 'quarantined'")
LIVE = text(f"state NOT IN ({', '.join(repr(str(state)) for state in OVER)})")
LEASED = text(f"state IN ('{ActionState.LEASED}', '{ActionState.RENEWED}')")
HELD = text("hold_until IS NOT NULL")


def _words(*names: str) -> list[Column[str]]:
    return [Column(name, TEXT, nullable=False) for name in names]


def _numbers(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False, autoincrement=False) for name in names]


def _blobs(*names: str) -> list[Column[bytes]]:
    return [Column(name, LargeBinary, nullable=False) for name in names]


def _table(name: str, key: tuple[str, ...], *items: Any, **options: Any) -> Table:
    return Table(name, metadata, *items, PrimaryKeyConstraint(*key), **options)


def _where(condition: Any) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


counter = _table("counter", ("tenant", "name"), *_words("tenant", "name"), *_numbers("value"))
"""Numbers given out: inbox, alert and action sequences, case numbers of a year."""

chain_head = _table("chain_head", ("tenant", "chain"), *_words("tenant", "chain"), *_numbers("seq"), *_words("hash"))
"""The newest link of each hash chain, so that a cut tail is seen."""

ledger = _table(
    "ledger",
    ("tenant", "instance", "stream"),
    *_words("tenant", "instance", "stream"),
    *_numbers("received", "duplicate"),
)
"""What came in and what was a repeat; everything else of law 1 is counted from the inbox."""

cursor = _table(
    "cursor",
    ("tenant", "instance", "stream"),
    *_words("tenant", "instance", "stream"),
    *_blobs("position"),
    *_words("moved_at"),
)

inbox = _table(
    "inbox",
    ("tenant", "seq"),
    *_words("tenant"),
    *_numbers("seq"),
    *_words("instance", "stream", "product", "key", "native_id", "state", "received_at"),
    Index("inbox_key", "tenant", "instance", "stream", "key", unique=True),
    Index("inbox_state", "tenant", "instance", "stream", "state"),
    Index("inbox_waiting", "tenant", "seq", **_where(WAITING)),
    Index("inbox_quarantined", "tenant", "seq", **_where(QUARANTINED)),
)

inbox_payload = _table(
    "inbox_payload", ("tenant", "seq"), *_words("tenant"), *_numbers("seq"), *_blobs("payload"), *_words("media_type")
)

quarantine = _table(
    "quarantine",
    ("tenant", "seq"),
    *_words("tenant"),
    *_numbers("seq"),
    *_words("reason", "pointer", "quarantined_at"),
    *_numbers("attempts"),
)
"""Why an inbox row stands aside. The row stays as history when a replay succeeds; ``inbox.state`` says what holds."""

stix_object = _table(
    "stix_object",
    ("tenant", "id"),
    *_words("tenant", "id", "type", "created", "modified", "sha256"),
    *_blobs("body"),
)

alert = _table(
    "alert",
    ("tenant", "alert_id"),
    *_words("tenant", "alert_id"),
    Column("case_id", TEXT),
    *_numbers("seq", "newest_seq", "number"),
    *_words("product", "instance", "native_id", "rule_id"),
    *_numbers("severity_id"),
    *_words("title", "created", "modified", "sha256", "content_sha256", "previous_sha256"),
    *_blobs("facts"),
    Index("alert_case", "tenant", "case_id", "seq"),
    Index("alert_native", "tenant", "instance", "native_id"),
)
"""One row an alert. ``seq`` is its first inbox row and its place in the case, ``newest_seq`` the one it shows now;
``number`` counts the tenant's alerts and names its blobs, which so are written one after the other."""

alert_bundle = _table(
    "alert_bundle", ("tenant", "number"), *_words("tenant"), *_numbers("number"), *_blobs("bundle", "loss")
)

case_file = _table(
    "case_file",
    ("tenant", "case_id"),
    *_words("tenant", "case_id", "title", "status"),
    *_numbers("severity_id"),
    *_words("opened_at", "updated_at"),
    *_numbers("alert_count"),
    *_words("entity_summary", "latest_decision", "latest_outcome", "latest_reason"),
    Column("hold_until", TEXT),
    Index("case_updated", "tenant", "updated_at", "case_id"),
    Index("case_status", "tenant", "status", "updated_at", "case_id"),
    Index("case_held", "tenant", "hold_until", **_where(HELD)),
)
"""A case's header. The ``latest_…`` columns and ``hold_until`` repeat its newest decision for lists."""

case_entity = _table(
    "case_entity",
    ("tenant", "entity_key", "case_id"),
    *_words("tenant", "entity_key", "case_id", "last_seen"),
    Index("case_entity_seen", "tenant", "entity_key", "last_seen"),
    sqlite_with_rowid=False,
)

decision = _table(
    "decision",
    ("tenant", "seq"),
    *_words("tenant"),
    *_numbers("seq"),
    *_words("decision_id", "case_id", "outcome", "decided_at", "previous_hash", "hash"),
    *_blobs("record"),
    Index("decision_id", "tenant", "decision_id", unique=True),
    Index("decision_case", "tenant", "case_id", "seq"),
)

audit = _table(
    "audit",
    ("tenant", "seq"),
    *_words("tenant"),
    *_numbers("seq"),
    *_words("at", "actor", "event", "previous_hash", "hash"),
    *_blobs("record"),
)

action = _table(
    "action",
    ("tenant", "action_id"),
    *_words("tenant", "action_id"),
    *_numbers("seq"),
    *_words("case_id", "decision_id", "idempotency_key", "target_key", "family"),
    *_numbers("generation"),
    *_words("state", "created_at", "updated_at"),
    Column("lease_until", TEXT),
    *_numbers("moves"),
    *_blobs("body"),
    Index("action_idempotency", "tenant", "idempotency_key", unique=True),
    Index("action_target", "tenant", "target_key", "family", "generation"),
    Index("action_case", "tenant", "case_id", "state"),
    Index("action_live", "tenant", "state", "seq", **_where(LIVE)),
    Index("action_lease", "tenant", "lease_until", **_where(LEASED)),
    Index("action_recent", "tenant", "family", "created_at"),
)
"""One row an action as it stands; ``moves`` is the number of its journal lines."""

action_journal = _table(
    "action_journal",
    ("tenant", "action_id", "seq"),
    *_words("tenant", "action_id"),
    *_numbers("seq"),
    *_words("at", "state", "actor"),
    *_blobs("detail"),
)

switch = _table(
    "switch",
    ("tenant", "scope", "subject"),
    *_words("tenant", "scope", "subject", "state", "reason", "changed_by", "changed_at", "asked_by"),
)
"""What is stopped, or was: one row a thing that can be. The tenant ``*`` is the whole installation, which no slug is.
``asked_by`` is who wants it started again and waits for a second person; the audit has the history."""

playbook_run = _table(
    "playbook_run",
    ("tenant", "run_id"),
    *_words("tenant", "run_id", "playbook_id", "case_id", "state", "started_at", "updated_at"),
    *_numbers("moves"),
    *_blobs("body"),
    Index("playbook_run_state", "tenant", "state", "updated_at"),
    Index("playbook_run_case", "tenant", "case_id"),
)
"""One row a run as it stands; ``moves`` counts its changes, so that two workers never both make one."""

openc2_command = _table(
    "openc2_command",
    ("tenant", "command_id"),
    *_words("tenant", "command_id", "request_id", "action_id", "received_at"),
    *_blobs("body"),
)
"""Commands as received, and the action each became: the same command again is answered, not done again."""

alert_group = _table(
    "alert_group",
    ("tenant", "group_id"),
    *_words("tenant", "group_id", "entity_key", "rule_key", "opened_at", "last_seen", "case_id"),
    *_numbers("alerts"),
    *_blobs("body"),
    Index("alert_group_entity", "tenant", "entity_key", "last_seen"),
    Index("alert_group_rule", "tenant", "rule_key", "last_seen"),
    Index("alert_group_case", "tenant", "case_id"),
)
"""Alerts of one rule on one entity within a window: the unit that is scored. ``rule_key`` is rule and version."""

case_link = _table(
    "case_link",
    ("tenant", "case_id", "other_case", "relation"),
    *_words("tenant", "case_id", "other_case", "relation", "at", "actor", "reason"),
    Index("case_link_other", "tenant", "other_case"),
)
"""What was merged into what, and split from what; the alerts themselves are never lost."""

suppression = _table(
    "suppression",
    ("tenant", "suppression_id"),
    *_words("tenant", "suppression_id", "state", "owner", "created_at", "expires_at"),
    *_blobs("body"),
    Index("suppression_state", "tenant", "state", "expires_at"),
)
"""Alerts that somebody answers for being quiet about, until a day; they are kept and counted."""

enrichment = _table(
    "enrichment",
    ("tenant", "source", "key"),
    *_words("tenant", "source", "key", "status", "fetched_at", "expires_at"),
    *_blobs("body"),
    Index("enrichment_expires", "tenant", "expires_at"),
)
"""What a source said of an entity, and until when that counts; ``status`` says too when it said nothing."""

verdict_label = _table(
    "verdict_label",
    ("tenant", "seq"),
    *_words("tenant"),
    *_numbers("seq"),
    *_words("label_id", "unit", "case_id", "analyst", "state", "at"),
    *_blobs("body"),
    Index("verdict_label_id", "tenant", "label_id", unique=True),
    Index("verdict_label_unit", "tenant", "unit", "seq"),
    Index("verdict_label_analyst", "tenant", "analyst", "at"),
    Index("verdict_label_case", "tenant", "case_id"),
)
"""What a person judged of a case's unit: who, how, blind or not. A label is withdrawn by its state, never removed."""

unit_level = _table(
    "unit_level",
    ("tenant", "unit", "decision_class"),
    *_words("tenant", "unit", "decision_class"),
    *_numbers("level", "moves"),
    *_words("updated_at"),
    *_blobs("body"),
    Index("unit_level_level", "tenant", "decision_class", "level"),
)
"""How far the machine may go with one rule in one tenant; ``body`` is the evidence. The audit has the history."""

qa_item = _table(
    "qa_item",
    ("tenant", "item_id"),
    *_words("tenant", "item_id", "decision_id", "case_id", "unit", "state", "drawn_at"),
    *_blobs("body"),
    Index("qa_item_state", "tenant", "state", "drawn_at"),
    Index("qa_item_unit", "tenant", "unit", "drawn_at"),
)
"""Closures drawn for a person to judge blind, with the probability of the draw."""

canary = _table(
    "canary",
    ("tenant", "canary_id"),
    *_words("tenant", "canary_id", "family", "state", "planted_at"),
    *_blobs("body"),
    Index("canary_state", "tenant", "state", "planted_at"),
    Index("canary_family", "tenant", "family", "planted_at"),
)
"""Known attacks planted to see whether they are closed. The flag stands here alone, out of the decision's sight."""

learned_model = _table(
    "learned_model",
    ("tenant", "model_id"),
    *_words("tenant", "model_id", "role", "trained_at"),
    *_blobs("body"),
    Index("learned_model_role", "tenant", "role"),
)
"""Every model that was ever trained, as its tables: champion, challenger, or retired. The tenant ``*`` is the fleet."""

artefact = _table(
    "artefact",
    ("tenant", "kind", "sha256"),
    *_words("tenant", "kind", "sha256", "kept_at"),
    *_blobs("body"),
)
"""What decisions were made with and their records name by its hash alone; ``sha256`` is that of ``body``."""

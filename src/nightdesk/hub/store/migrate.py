"""Brings a database to the schema of this code, in the caller's transaction: all steps or none."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from nightdesk.hub.store.engines import refusal

__all__ = ["upgrade"]


def upgrade(conn: Connection) -> None:
    """Runs the steps that are missing. Raises ConfigError when a newer nightdesk wrote the database."""
    config = Config()
    config.set_main_option("script_location", "nightdesk.hub.store:migrations")
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    stored = MigrationContext.configure(conn).get_current_revision()
    if stored is not None and stored not in known:
        raise refusal(
            f"the database has schema {stored}, which is newer than this nightdesk knows; "
            "install the version that wrote it, or restore a backup made by this one"
        )
    config.attributes["connection"] = conn
    command.upgrade(config, "head")

"""Brings a database to the schema of this code, in one transaction, whoever opens it first."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from nightdesk.hub.store.engines import refusal

__all__ = ["current", "head", "upgrade"]


def _scripts() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", "nightdesk.hub.store:migrations")
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)


def head() -> str:
    """The revision this code was written for."""
    revision = _scripts()[1].get_current_head()
    if revision is None:
        raise RuntimeError("the installation lacks its database migrations; install nightdesk again")
    return revision


def current(conn: Connection) -> str | None:
    """The revision of that database; None when it is empty."""
    return MigrationContext.configure(conn).get_current_revision()


def upgrade(conn: Connection) -> None:
    """Runs what is missing. Raises ConfigError when the database was written by a newer nightdesk."""
    config, scripts = _scripts()
    revision = current(conn)
    if revision == scripts.get_current_head():
        return
    if revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
        raise refusal(
            f"the database has schema {revision}, which is newer than this nightdesk knows; "
            "install the version that wrote it, or restore a backup made by this one"
        )
    config.attributes["connection"] = conn
    command.upgrade(config, "head")

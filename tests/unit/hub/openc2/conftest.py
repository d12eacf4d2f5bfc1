"""Every test here that asks for ``store`` or ``store_url`` runs on both engines."""

from tests.stores import database, postgresql_database, postgresql_server, store, store_url

__all__ = ["database", "postgresql_database", "postgresql_server", "store", "store_url"]

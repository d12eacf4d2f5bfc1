"""Law 3 in the tables themselves: no key and no index without the tenant in front."""

import pytest
from sqlalchemy import Table

from nightdesk.hub.store.schema import metadata

TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_key_and_index_starts_with_the_tenant(table: Table) -> None:
    assert next(iter(table.primary_key)).name == "tenant"
    assert {next(iter(index.columns)).name for index in table.indexes} <= {"tenant"}
    assert not table.c.tenant.nullable

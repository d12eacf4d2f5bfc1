"""A store that cannot be opened says why, in a sentence that names the place and the remedy."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from nightdesk.hub.store import Store
from nightdesk.sdk.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nightdesk.db", "is not a database URL; write sqlite:"),
        ("", "is not a database URL"),
        ("mysql://host.example/nightdesk", "'mysql', which is not supported"),
        ("postgresql+asyncpg://host.example/nightdesk", "the driver 'postgresql\\+asyncpg'"),
        ("sqlite+aiosqlite:////var/nightdesk.db", "which is not supported"),
        ("sqlite://", "without a file"),
        ("sqlite:///:memory:", "without a file"),
        ("postgresql://nightdesk:hunter2@127.0.0.1:1/nightdesk?connect_timeout=2", "cannot be opened: connection"),
    ],
)
def test_a_url_that_cannot_work_is_explained(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Store.open(url)
    assert str(caught.value).startswith("configuration: store.url: ")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacking/nightdesk.db cannot be written: No such file"):
        Store.open(f"sqlite:///{tmp_path}/lacking/nightdesk.db")
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database\n" * 500)
    with pytest.raises(ConfigError, match="file is not a database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database\n" * 500


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'OFF' is not one of FULL, NORMAL, EXTRA"):
        Store.open(f"sqlite:///{tmp_path}/nightdesk.db", synchronous="OFF")


def test_only_its_owner_can_read_a_new_database(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/nightdesk.db").close()
    assert stat.S_IMODE((tmp_path / "nightdesk.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1), ("EXTRA", 3)])
def test_commits_are_as_durable_as_asked(tmp_path: Path, synchronous: str, number: int) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/nightdesk.db", synchronous=synchronous)
    with store.begin() as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == number
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()
    with create_engine(f"sqlite:///{tmp_path}/nightdesk.db").connect() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"

"""Stores to test on: an SQLite file, and a PostgreSQL database of a server that lives as long as the test run.

A conftest takes part by importing the fixtures of ``__all__``. The server is the one of NIGHTDESK_TEST_POSTGRES (a URL
that may create databases), else one made here by initdb. Tests on PostgreSQL carry the mark ``postgresql`` and fail,
never skip, where no server can be had. ``store`` is the quick one; ``store_url`` makes a database for each test.
"""

import functools
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from nightdesk.hub.store import Store
from nightdesk.hub.store.schema import metadata
from nightdesk.sdk.case import Check, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.testing.cases import CASE_TIME

__all__ = [
    "ENGINES",
    "a_decision",
    "database",
    "postgresql_database",
    "postgresql_server",
    "prepared",
    "store",
    "store_url",
]

ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql))


def _programs() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for place in reversed(places):
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    pytest.fail("no PostgreSQL: set NIGHTDESK_TEST_POSTGRES to a server's URL, or install its server package")


def _unprivileged(command: list[str]) -> None:
    """PostgreSQL refuses to run as root: then it runs as the user that its package made, or as nobody."""
    if os.geteuid() == 0:
        users = {entry.pw_name for entry in pwd.getpwall()}
        command = ["runuser", "-u", "postgres" if "postgres" in users else "nobody", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.stdout}{done.stderr}")


@functools.cache
def _first_opening() -> bytes:
    """The SQLite file that a first opening makes, by every migration there is."""
    with tempfile.TemporaryDirectory(prefix="nightdesk-empty-") as folder:
        path = Path(folder) / "nightdesk.db"
        Store.open(f"sqlite:///{path}").close()
        return path.read_bytes()


def prepared(url: str) -> str:
    """The same URL; a new SQLite file there is past its first opening, which tests of migrations alone need to see."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite" and found.database and not (file := Path(found.database)).exists():
        file.touch(0o600)
        file.write_bytes(_first_opening())
    return url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """The URL of a server on which databases can be made."""
    given = os.environ.get("NIGHTDESK_TEST_POSTGRES")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="nightdesk-postgresql-"))
    try:
        folder.chmod(0o777)
        data = str(folder / "data")
        _unprivileged(
            [str(programs / "initdb"), "-D", data, "-U", "nightdesk", "-A", "trust", "-E", "UTF8", "--no-sync"]
        )
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=50"
        control = [str(programs / "pg_ctl"), "-D", data, "-w"]
        _unprivileged([*control, "-l", str(folder / "log"), "-o", settings, "start"])
        try:
            yield URL.create("postgresql+psycopg", "nightdesk", database="postgres", query={"host": str(folder)})
        finally:
            _unprivileged([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


@contextmanager
def _database(server: URL) -> Iterator[str]:
    name = f"nightdesk_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as conn:
            conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: URL) -> Iterator[str]:
    """The URL of the one database that all tests with ``store`` share, emptied between them."""
    with _database(postgresql_server) as url:
        yield url


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest) -> str:
    """The name of the engine that the test runs on."""
    return str(request.param)


@pytest.fixture
def store_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that nobody has opened yet."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path}/nightdesk.db"
        return
    with _database(request.getfixturevalue("postgresql_server")) as url:
        yield url


@pytest.fixture
def store(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An open store on an empty database."""
    if database == "sqlite":
        opened = Store.open(prepared(f"sqlite:///{tmp_path}/nightdesk.db"))
    else:
        opened = Store.open(request.getfixturevalue("postgresql_database"))
        with opened.begin() as conn:
            for table in metadata.sorted_tables:
                conn.execute(table.delete())
    yield opened
    opened.close()


def a_decision(decision_id: str = "decision-1", case_id: str = "case-1", **changes: Any) -> Decision:
    """An escalation; say only what differs."""
    facts: dict[str, Any] = {
        "tenant": "acme",
        "decided_at": CASE_TIME,
        "outcome": Outcome.ESCALATE,
        "verdict": Verdict.UNDETERMINED,
        "mode": Mode.AUTONOMOUS,
        "reason_code": "abstained",
        "reasons": ("the rule has no evidence yet",),
        "checks": (Check("evidence", passed=False, value="0", limit="59"),),
        "policy_id": "policy-1",
        "policy_version": "3",
        "policy_sha256": "ab" * 32,
        "inputs": {"features": {"severity": 2}, "score": 0.25},
    }
    return Decision(decision_id=decision_id, case_id=case_id, **{**facts, **changes})

"""A real LDAP server on loopback: OpenLDAP's slapd from Debian, with TLS, an account that may read, and some people.

Its directory lies in the folder that a test gives. What cannot be had fails the test: a server that was not asked has
proved nothing.
"""

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["BASE", "PASSWORD", "READER", "Directory", "slapd"]

BASE = "dc=example,dc=com"
READER = f"cn=nightdesk,ou=services,{BASE}"
PASSWORD = "the-readers-password"  # a fixture
_MODULES = Path("/usr/lib/ldap")
_SCHEMAS = Path("/etc/ldap/schema")
_PATIENCE = 30.0
_CONFIGURATION = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit {sizelimit}
database mdb
maxsize 33554432
suffix "{base}"
rootdn "cn=root,{base}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by anonymous auth by * none
limits dn.exact="{reader}" size.soft={sizelimit} size.hard={sizelimit} size.prtotal=unlimited
"""


@dataclass(frozen=True)
class Directory:
    """A running server: its ports with TLS from the start, and with StartTLS."""

    ldaps: int
    ldap: int


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")
    if found is None:
        pytest.fail(f"no {name}: install Debian's package slapd")
    return found


@contextmanager
def slapd(folder: Path, people: str, certificate: Path, key: Path, *, sizelimit: int = 50) -> Iterator[Directory]:
    """A server with these entries (LDIF); a search gives at most ``sizelimit`` of them a page."""
    (folder / "data").mkdir(parents=True)
    configuration = folder / "slapd.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            schemas=_SCHEMAS, modules=_MODULES, folder=folder, certificate=certificate, key=key, base=BASE,
            reader=READER, sizelimit=sizelimit,
        ),
        encoding="utf-8",
    )  # fmt: skip
    entries = folder / "people.ldif"
    entries.write_text(people, encoding="utf-8")
    done = subprocess.run(
        [_program("slapadd"), "-f", configuration, "-l", entries], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"slapadd: {done.stdout}{done.stderr}")
    made = Directory(_free_port(), _free_port())
    urls = f"ldaps://127.0.0.1:{made.ldaps} ldap://127.0.0.1:{made.ldap}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_program("slapd"), "-f", configuration, "-h", urls, "-d", "0"], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _await(process, made, folder / "log")
            yield made
        finally:
            process.terminate()
            process.wait(timeout=_PATIENCE)


def _await(process: subprocess.Popen[bytes], made: Directory, log: Path) -> None:
    ends = time.monotonic() + _PATIENCE
    plain = ssl.create_default_context()
    plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE  # asked is only whether it listens
    while time.monotonic() < ends and process.poll() is None:
        try:
            with (
                socket.create_connection(("127.0.0.1", made.ldaps), timeout=1) as raw,
                plain.wrap_socket(raw),
                socket.create_connection(("127.0.0.1", made.ldap), timeout=1),
            ):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"slapd did not answer: {log.read_text(encoding='utf-8', errors='replace')}")

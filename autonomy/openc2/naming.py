"""Our targets as those of the language, and back: nothing that says which thing is meant gets lost on the way."""

from collections.abc import Mapping
from typing import Any

from nightdesk.autonomy.openc2.targets import (
    NSID,
    Artifact,
    Device,
    File,
    Hashes,
    Payload,
    Process,
    Thing,
    is_email,
    is_hostname,
    is_uri,
)
from nightdesk.sdk.errors import MappingError, RejectedError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind, Verb

__all__ = ["ON_HOSTS", "named", "target_of"]

ON_HOSTS = frozenset(
    {"process.terminate", "process.suspend", "process.resume", "file.quarantine", "file.restore", "file.fetch"}
)
"""Verbs on what is on one host: the actuator names it."""
_HASHES = ("sha256", "sha1", "md5")  # the strongest is the target, the others are further names of it


def named(wanted: Verb, target: Target) -> tuple[str, Any]:
    """The name of the language's target and its value."""
    kind, value, facts = target.kind, target.value, target.facts
    if wanted.openc2[1] == "device":
        if not is_hostname(value):
            return f"{NSID}:device", Thing(uid=value)
        return "device", Device.model_validate(_said(hostname=value, device_id=facts.get("device_id")))
    if kind is TargetKind.PROCESS:
        return "process", _process(value, facts)
    if kind is TargetKind.FILE:
        return "file", _file(_hashes(value, facts), facts)
    if kind is TargetKind.ADDRESS:
        return ("ipv6_net" if ":" in value else "ipv4_net"), value
    if kind is TargetKind.DOMAIN:
        return _first(value, ("domain_name", is_hostname), f"{NSID}:domain")
    if kind is TargetKind.URL:
        return _first(value, ("uri" if value.isascii() else "iri", is_uri), f"{NSID}:url")
    if kind is TargetKind.SENDER:
        return _first(value, ("email_addr" if value.isascii() else "idn_email_addr", is_email), f"{NSID}:sender")
    if kind is TargetKind.ARTIFACT:
        return _artifact(value)
    if kind is TargetKind.EMAIL:
        return wanted.openc2[1], Thing.model_validate(_said(uid=value, mailbox=facts.get("mailbox")))
    return wanted.openc2[1], Thing(uid=value)


def target_of(wanted: Verb, name: str, value: Any, hostname: str | None) -> Target:
    """The verb's target. Raises MappingError when it names nothing or everything, UnsupportedError beyond our means."""
    if wanted.name not in ON_HOSTS and hostname is not None:
        raise _wrong(f"{wanted.name} is done to no thing on a host: leave hostname out", f"/actuator/{NSID}/hostname")
    if wanted.name in ON_HOSTS and hostname is None:
        raise _wrong(f"{wanted.name} needs the host that the {name} is on", f"/actuator/{NSID}/hostname")
    text, facts = _read(name, value, wanted.target)
    if hostname is not None:
        facts["hostname"] = hostname
    try:
        return Target(wanted.target, text, facts)
    except RejectedError as error:
        raise _wrong(str(error), f"/target/{name.replace('/', '~1')}") from error


def _read(name: str, value: Any, kind: TargetKind) -> tuple[str, dict[str, str]]:
    if isinstance(value, Thing):
        if value.mailbox is not None and kind is not TargetKind.EMAIL:
            raise _wrong("only a mail is in a mailbox: leave it out", f"/target/{name}/mailbox")
        return value.uid, _said(mailbox=value.mailbox)
    if isinstance(value, Device):
        return _read_device(value)
    if isinstance(value, Process):
        return _read_process(value)
    if isinstance(value, File):
        return _read_file(value)
    if isinstance(value, Artifact):
        return _read_artifact(value)
    return str(value), {}


def _read_device(device: Device) -> tuple[str, dict[str, str]]:
    names = [one for one in (device.hostname, device.idn_hostname) if one is not None]
    if not names:
        raise UnsupportedError("a device_id alone means a device in one product only: give the hostname")
    if len(names) == 2:
        raise _wrong("give hostname or idn_hostname, not both", "/target/device")
    return names[0], _said(device_id=device.device_id)


def _process(value: str, facts: Mapping[str, str]) -> Process:
    pid = facts.get("pid", "")
    number = int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 16 else None
    given = {name: facts[name] for name in ("path", "name", *_HASHES) if facts.get(name)}
    program = _file({name: given[name] for name in _HASHES if _is_hash(name, given.get(name, ""))}, given)
    return Process.model_validate(
        _said(
            pid=number,
            name=None if number is not None and value == str(number) else value,
            executable=program if program.model_fields_set else None,
            command_line=facts.get("command_line"),
        )
    )


def _read_process(process: Process) -> tuple[str, dict[str, str]]:
    if process.cwd is not None or process.parent is not None:
        raise UnsupportedError("a process is not looked up by cwd or parent: give pid or name")
    pid = None if process.pid is None else str(process.pid)
    text = process.name or pid
    if text is None:
        raise UnsupportedError("a process is not looked up by executable or command_line alone: give pid or name")
    facts = _said(pid=pid, command_line=process.command_line)
    if process.executable is not None:
        hashes = process.executable.hashes
        facts |= _said(path=process.executable.path, name=process.executable.name)
        facts |= {name: text.lower() for name, text in _given(hashes).items()} if hashes else {}
    return text, facts


def _hashes(value: str, facts: Mapping[str, str]) -> dict[str, str]:
    algorithm, _, digest = value.partition(":")
    more = {name: facts[name] for name in _HASHES if _is_hash(name, facts.get(name, "")) and _weaker(name, algorithm)}
    return {algorithm: digest, **more}


def _file(hashes: Mapping[str, str], facts: Mapping[str, str]) -> File:
    # Upper case: base16 of the language has no other letters (section 3.1.5).
    upper = Hashes.model_validate({name: text.upper() for name, text in hashes.items()}) if hashes else None
    given = _said(name=facts.get("name"), path=facts.get("path"), hashes=upper)
    return File.model_validate(given) if given else File.model_construct(_fields_set=set())


def _read_file(file: File) -> tuple[str, dict[str, str]]:
    if file.hashes is None:
        raise UnsupportedError("a file is known by its content here: give hashes")
    given = {name: text.lower() for name, text in _given(file.hashes).items()}
    strongest = next(name for name in _HASHES if name in given)
    facts = _said(name=file.name, path=file.path)
    facts |= {name: text for name, text in given.items() if name != strongest}
    return f"{strongest}:{given[strongest]}", facts


def _artifact(value: str) -> tuple[str, Any]:
    algorithm, _, digest = value.partition(":")
    if algorithm in _HASHES and _is_hash(algorithm, digest) and digest == digest.lower():
        return "artifact", Artifact(hashes=Hashes.model_validate({algorithm: digest.upper()}))
    if value.isascii() and is_uri(value):
        return "artifact", Artifact(payload=Payload(url=value))
    return f"{NSID}:artifact", Thing(uid=value)


def _read_artifact(artifact: Artifact) -> tuple[str, dict[str, str]]:
    if artifact.payload is not None and artifact.payload.bin is not None:
        raise UnsupportedError("an artifact's bytes are not taken: give payload.url or hashes")
    if artifact.payload is not None and artifact.hashes is not None:
        raise UnsupportedError("an artifact is looked at by its URL or by its hash: give one of them")
    if artifact.payload is not None:
        return str(artifact.payload.url), {}
    if artifact.hashes is None:
        raise _wrong("a mime_type alone is no artifact: give payload.url or hashes", "/target/artifact")
    return _read_file(File(hashes=artifact.hashes))


def _first(value: str, standard: tuple[str, Any], ours: str) -> tuple[str, Any]:
    name, fits = standard
    return (name, value) if fits(value) else (ours, Thing(uid=value))


def _given(hashes: Hashes) -> dict[str, str]:
    given: dict[str, str] = hashes.model_dump(exclude_none=True)
    return given


def _is_hash(name: str, text: str) -> bool:
    digits = {"sha256": 64, "sha1": 40, "md5": 32}[name]
    return len(text) == digits and all(char in "0123456789abcdefABCDEF" for char in text)


def _weaker(name: str, than: str) -> bool:
    return than in _HASHES and _HASHES.index(name) > _HASHES.index(than)


def _said(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value not in (None, "")}


def _wrong(message: str, pointer: str) -> MappingError:
    return MappingError(message, pointer=pointer, source="OpenC2 command")

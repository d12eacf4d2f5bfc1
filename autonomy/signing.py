"""Signatures under a policy: closing needs one from a person the tenant trusts, containment without a person needs two.

The signatures stand beside the policy in ``<policy>.sig``: a JSON list of signer, key id, signature and time. A
signature covers the policy's SHA-256, the signer's name and the time, so none of them can be exchanged.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.policy import Policy, canonical_bytes
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = [
    "KeyPair",
    "Signature",
    "SignedPolicy",
    "Word",
    "add_signature",
    "examine",
    "key_id",
    "keygen",
    "load_private_key",
    "load_public_key",
    "load_signed",
    "sidecar",
    "sidecar_of",
    "sign",
    "verified_signers",
    "verify",
]

_PURPOSE = "nightdesk policy signature 1"
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """A new key of a signer; the private half belongs in a file that only the signer reads."""

    private_pem: bytes
    public_pem: bytes
    key_id: str

    def __repr__(self) -> str:
        return f"KeyPair({self.key_id})"


@dataclass(frozen=True, slots=True)
class Signature:
    """One person's signature under one policy."""

    signer: str
    key_id: str
    signature: str
    signed_at: str


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """A policy with the signatures that were verified; only ``verify`` and ``load_signed`` make one.

    ``text`` are the bytes that were signed, so that what decided can be kept.
    """

    policy: Policy
    signatures: tuple[Signature, ...]
    text: bytes = field(default=b"", repr=False, compare=False)

    @property
    def signers(self) -> tuple[str, ...]:
        """Who signed, by name, each once; two of them have two different keys."""
        return tuple(sorted({entry.signer for entry in self.signatures}))


def keygen(passphrase: bytes | None = None) -> KeyPair:
    """A new Ed25519 key pair as PEM; with a passphrase the private half is encrypted."""
    key = Ed25519PrivateKey.generate()
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private, pem, key_id(public))


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a public key, to be compared by eye."""
    return hashlib.sha256(key.public_bytes(*_RAW)).hexdigest()[:16]


def load_private_key(pem: bytes, *, file: str, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """The private key in these bytes. Raises ConfigError; the message never shows them."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refuse(
            file, "is no readable private key: check the passphrase, or make one with `policy keygen`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _refuse(file, "is no Ed25519 key: make one with `policy keygen`")
    return key


def load_public_key(pem: bytes, *, file: str) -> Ed25519PublicKey:
    """The public key in these bytes. Raises ConfigError."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _refuse(file, "is no PEM public key: ask the signer for the .pub file of their key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _refuse(file, "is no Ed25519 key: ask the signer for one made with `policy keygen`")
    return key


def sign(policy_bytes: bytes, private_key: Ed25519PrivateKey, signer: str, *, at: datetime) -> Signature:
    """The signer's signature under these bytes."""
    when = at.astimezone(UTC).isoformat()
    made = private_key.sign(_message(policy_bytes, signer, when))
    return Signature(signer, key_id(private_key.public_key()), base64.b64encode(made).decode("ascii"), when)


def add_signature(before: bytes | None, signature: Signature, *, file: str) -> bytes:
    """The sidecar with this signature in place of an earlier one of the same signer."""
    kept = [entry for entry in _entries(before, file) if entry.signer != signature.signer] if before else []
    return sidecar([*kept, signature])


def sidecar(signatures: Iterable[Signature]) -> bytes:
    """The signatures as they stand beside a policy; the same ones give the same bytes."""
    rows = [
        {"signer": one.signer, "key_id": one.key_id, "signature": one.signature, "signed_at": one.signed_at}
        for one in sorted(signatures, key=lambda one: one.signer)
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False).encode() + b"\n"


def sidecar_of(path: Path) -> Path:
    """Where the signatures of a policy stand."""
    return path.with_name(path.name + ".sig")


def load_signed(path: Path, trusted: Mapping[str, Ed25519PublicKey]) -> SignedPolicy:
    """The verified policy of a file and its sidecar. Raises ConfigError that names what to do."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refuse(str(path), f"cannot be read ({error.strerror}): give the policy's path") from error
    try:
        beside = sidecar_of(path).read_bytes()
    except FileNotFoundError:
        beside = None
    except OSError as error:
        raise _refuse(str(sidecar_of(path)), f"cannot be read ({error.strerror})") from error
    return verify(data, beside, trusted, file=str(path))


def verify(
    policy_bytes: bytes, beside: bytes | None, trusted: Mapping[str, Ed25519PublicKey], *, file: str
) -> SignedPolicy:
    """The policy, if every signature in the sidecar is good and there are enough of them. Raises ConfigError."""
    policy = parse_policy(policy_bytes, file=file)
    entries = _verified(policy_bytes, beside, trusted, file)
    keys = {trusted[entry.signer].public_bytes(*_RAW) for entry in entries}
    unattended = [
        (index, name)
        for index, rule in enumerate(policy.rules)
        for name, effect in (("propose", rule.then.propose), ("playbook", rule.then.playbook))
        if effect is not None and effect.approval == "policy"
    ]
    if unattended and len(keys) < 2:
        raise ConfigError(
            [
                Problem(
                    file,
                    f"rules[{index}].then.{name}.approval",
                    "contains without a person, which takes two signers with two keys: "
                    "have a second trusted person sign, or write approval: human",
                )
                for index, name in unattended
            ]
        )
    return SignedPolicy(policy, tuple(entries), canonical_bytes(policy_bytes))


class Word(NamedTuple):
    """One signature looked at long after: ``known`` is its key by the configuration, ``fault`` what is wrong, or ''."""

    signature: Signature
    known: bool
    fault: str


def examine(policy_bytes: bytes, beside: bytes, trusted: Mapping[str, Ed25519PublicKey], *, file: str) -> list[Word]:
    """What each signature is worth today: people leave and keys are renewed, which makes no decision of then untrue.

    For reading the past; it gives no right to decide. Raises ConfigError when ``beside`` are no signatures.
    """
    return [
        Word(
            entry,
            (key := trusted.get(entry.signer)) is not None and key_id(key) == entry.key_id,
            next(_faults(entry, policy_bytes, trusted, file), ""),
        )
        for entry in _entries(beside, f"{file}.sig")
    ]


def verified_signers(
    data: bytes, beside: bytes | None, trusted: Mapping[str, Ed25519PublicKey], *, file: str
) -> tuple[str, ...]:
    """Who signed these bytes, when every signature is good; two names of one key count as one. Raises ConfigError."""
    by_key: dict[bytes, str] = {}
    for entry in sorted(_verified(data, beside, trusted, file), key=lambda one: one.signer):
        by_key.setdefault(trusted[entry.signer].public_bytes(*_RAW), entry.signer)
    return tuple(sorted(by_key.values()))


def _verified(data: bytes, beside: bytes | None, trusted: Mapping[str, Ed25519PublicKey], file: str) -> list[Signature]:
    where = f"{file}.sig"
    entries = _entries(beside, where) if beside is not None else []
    if not entries:
        raise _refuse(where, f"is missing or empty: have a trusted person run `nightdesk policy sign {file}`")
    problems = [
        Problem(where, f"[{index}]", text)
        for index, entry in enumerate(entries)
        for text in _faults(entry, data, trusted, file)
    ]
    if problems:
        raise ConfigError(problems)
    return entries


def _faults(entry: Signature, data: bytes, trusted: Mapping[str, Ed25519PublicKey], file: str) -> Iterator[str]:
    key = trusted.get(entry.signer)
    if key is None:
        yield f"signer {entry.signer!r} is not trusted: add their public key to the configuration, or remove the entry"
        return
    if entry.key_id != key_id(key):
        yield f"{entry.signer!r} signed with key {entry.key_id}, and {key_id(key)} is trusted: sign again"
        return
    try:
        made = base64.b64decode(entry.signature, validate=True)
        key.verify(made, _message(data, entry.signer, entry.signed_at))
    except (InvalidSignature, binascii.Error, ValueError):
        yield (
            f"the signature of {entry.signer!r} is not for this text: {file} was changed after it was signed; "
            f"read the change, then run `nightdesk policy sign {file}`"
        )


def _message(data: bytes, signer: str, signed_at: str) -> bytes:
    digest = hashlib.sha256(canonical_bytes(data)).hexdigest()
    return canonical({"purpose": _PURPOSE, "sha256": digest, "signed_at": signed_at, "signer": signer})


def _entries(beside: bytes, file: str) -> list[Signature]:
    try:
        rows: Any = json.loads(beside)
    except (ValueError, RecursionError) as error:
        raise _refuse(file, "is no JSON: remove it and sign again") from error
    fields = {"signer", "key_id", "signature", "signed_at"}
    entries: list[Signature] = []
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, dict) or set(row) != fields or not all(isinstance(text, str) for text in row.values()):
            raise _refuse(file, f"must be a list of {{{', '.join(sorted(fields))}}}: remove it and sign again")
        entries.append(Signature(**row))
    names = [entry.signer for entry in entries]
    if len(names) != len(set(names)):
        raise _refuse(file, "has two signatures of one signer: remove it and sign again")
    return entries


def _refuse(file: str, message: str) -> ConfigError:
    return ConfigError([Problem(file, "", message)])

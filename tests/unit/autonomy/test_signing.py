import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nightdesk.autonomy.signing import (
    add_signature,
    key_id,
    keygen,
    load_private_key,
    load_public_key,
    load_signed,
    sidecar_of,
    sign,
    verify,
)
from nightdesk.sdk.errors import ConfigError

AT = datetime(2026, 11, 20, tzinfo=UTC)
CLOSING = (
    b"policy_id: p\nversion: 1\nrules:\n  - {id: r, owner: j, when: {rule_id: x}, then: {close: {verdict: test}}}\n"
)
ACTING = (
    b"policy_id: p\nversion: 1\nrules:\n  - {id: r, owner: j, then: {propose: {approval: policy, actions: "
    b"[{verb: host.isolate, target: host}]}}}\n"
)
JANE, OMAR = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
TRUSTED = {"jane": JANE.public_key(), "omar": OMAR.public_key()}


def signed(data: bytes, *signers: tuple[str, Ed25519PrivateKey]) -> bytes:
    sidecar = None
    for name, key in signers:
        sidecar = add_signature(sidecar, sign(data, key, name, at=AT), file="p.sig")
    assert sidecar is not None
    return sidecar


def test_a_signed_policy_knows_who_signed() -> None:
    policy = verify(CLOSING, signed(CLOSING, ("jane", JANE)), TRUSTED, file="p")
    assert policy.signers == ("jane",)
    assert policy.policy.rules[0].id == "r"


def test_line_ends_of_another_system_do_not_break_a_signature() -> None:
    assert verify(CLOSING.replace(b"\n", b"\r\n"), signed(CLOSING, ("jane", JANE)), TRUSTED, file="p").signers


@pytest.mark.parametrize("sidecar", [None, b"[]"])
def test_a_missing_signature_says_how_to_sign(sidecar: bytes | None) -> None:
    with pytest.raises(ConfigError, match="nightdesk policy sign p"):
        verify(CLOSING, sidecar, TRUSTED, file="p")


def test_a_changed_policy_is_refused() -> None:
    changed = CLOSING.replace(b"rule_id: x", b"rule_id: y")
    with pytest.raises(ConfigError, match="changed after it was signed"):
        verify(changed, signed(CLOSING, ("jane", JANE)), TRUSTED, file="p")


def test_an_unknown_signer_is_refused() -> None:
    with pytest.raises(ConfigError, match="'mallory' is not trusted"):
        verify(CLOSING, signed(CLOSING, ("mallory", JANE)), TRUSTED, file="p")


def test_a_key_that_is_not_the_signers_is_refused() -> None:
    with pytest.raises(ConfigError, match="sign again"):
        verify(CLOSING, signed(CLOSING, ("jane", OMAR)), TRUSTED, file="p")


@pytest.mark.parametrize("field", ["signer", "signed_at", "signature"])
def test_no_part_of_a_signature_can_be_exchanged(field: str) -> None:
    same_key = {**TRUSTED, "omar": JANE.public_key()}
    rows = json.loads(signed(CLOSING, ("jane", JANE)))
    rows[0][field] = {"signer": "omar", "signed_at": "2027-01-01T00:00:00+00:00", "signature": "not base64!"}[field]
    with pytest.raises(ConfigError, match="changed after it was signed"):
        verify(CLOSING, json.dumps(rows).encode(), same_key, file="p")


def test_one_bad_signature_beside_a_good_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="mallory"):
        verify(CLOSING, signed(CLOSING, ("jane", JANE), ("mallory", OMAR)), TRUSTED, file="p")


def test_containment_without_a_person_takes_two_signers() -> None:
    with pytest.raises(ConfigError, match="two signers") as caught:
        verify(ACTING, signed(ACTING, ("jane", JANE)), TRUSTED, file="p")
    assert caught.value.problems[0].key == "rules[0].then.propose.approval"
    assert verify(ACTING, signed(ACTING, ("jane", JANE), ("omar", OMAR)), TRUSTED, file="p").signers == ("jane", "omar")


def test_one_key_under_two_names_is_one_signer() -> None:
    twice = signed(ACTING, ("jane", JANE), ("omar", JANE))
    with pytest.raises(ConfigError, match="two keys"):
        verify(ACTING, twice, {name: JANE.public_key() for name in TRUSTED}, file="p")


def test_signing_again_replaces_the_earlier_signature() -> None:
    first = signed(CLOSING, ("jane", JANE))
    changed = CLOSING + b"# more\n"
    again = add_signature(first, sign(changed, JANE, "jane", at=AT), file="p.sig")
    assert len(json.loads(again)) == 1
    assert verify(changed, again, TRUSTED, file="p").signers == ("jane",)


@pytest.mark.parametrize(
    "sidecar",
    [b"{", b"{}", b"[1]", b'[{"signer": "jane"}]', b"[[[", b'[{"signer":1,"key_id":"","signature":"","signed_at":""}]'],
)
def test_a_broken_sidecar_gets_a_clear_answer(sidecar: bytes) -> None:
    with pytest.raises(ConfigError, match="sign again"):
        verify(CLOSING, sidecar, TRUSTED, file="p")


def test_two_entries_of_one_signer_are_refused() -> None:
    rows = json.loads(signed(CLOSING, ("jane", JANE)))
    with pytest.raises(ConfigError, match="two signatures of one signer"):
        verify(CLOSING, json.dumps(rows * 2).encode(), TRUSTED, file="p")


def test_a_policy_and_its_sidecar_are_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_signed(path, TRUSTED)
    path.write_bytes(CLOSING)
    with pytest.raises(ConfigError, match="is missing"):
        load_signed(path, TRUSTED)
    assert sidecar_of(path).name == "policy.yaml.sig"
    sidecar_of(path).write_bytes(signed(CLOSING, ("jane", JANE)))
    assert load_signed(path, TRUSTED).signers == ("jane",)


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_new_key_pair_signs_and_verifies(passphrase: bytes | None) -> None:
    pair = keygen(passphrase)
    private = load_private_key(pair.private_pem, file="key", passphrase=passphrase)
    public = load_public_key(pair.public_pem, file="key.pub")
    assert key_id(public) == pair.key_id
    assert verify(CLOSING, signed(CLOSING, ("ann", private)), {"ann": public}, file="p").signers == ("ann",)
    assert "PRIVATE" not in repr(pair)


def test_a_wrong_passphrase_or_key_is_named_without_showing_it() -> None:
    pair = keygen(b"right")
    with pytest.raises(ConfigError, match="check the passphrase"):
        load_private_key(pair.private_pem, file="key", passphrase=b"wrong")
    with pytest.raises(ConfigError, match="check the passphrase"):
        load_private_key(pair.private_pem, file="key")
    with pytest.raises(ConfigError, match="no PEM public key"):
        load_public_key(b"junk", file="key.pub")


def test_another_kind_of_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    private = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(ConfigError, match="no Ed25519 key"):
        load_private_key(private, file="key")
    with pytest.raises(ConfigError, match="no Ed25519 key"):
        load_public_key(public, file="key.pub")

import random
import uuid
from typing import Any

import pytest
import stix2

from nightdesk.stix.ids import TenantKey, observable_id

KEY = TenantKey(bytes(range(32)))
ADDRESS = "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"


@pytest.mark.parametrize(
    ("kind", "contributing", "expected"),
    [
        ("ipv4-addr", {"value": "198.51.100.3"}, "28bb3599-77cd-5a82-a950-b5bc3caf07c4"),
        ("domain-name", {"value": "example.com"}, "bedb4899-d24b-5401-bc86-8f6b4cc18ec7"),
        (
            "user-account",
            {"account_type": "windows-domain", "user_id": "S-1-5-21-1", "account_login": "jdoe"},
            "5f066e7a-9271-5b18-b338-6b2af0f2cf09",
        ),
        ("file", {"hashes": {"MD5": "cd" * 16}, "name": "a.exe"}, "fe4b0b2e-e086-5937-9221-6a8c0c3d1b68"),
        (
            "network-traffic",
            {"src_ref": ADDRESS, "dst_port": 443, "protocols": ["ipv4", "tcp"]},
            "21fb682d-8acd-5691-b4d4-101141ec8c81",
        ),
    ],
)
def test_an_observable_has_the_id_of_the_specification(kind: str, contributing: dict[str, Any], expected: str) -> None:
    assert observable_id(kind, contributing) == f"{kind}--{expected}"


def test_python_stix2_agrees_on_texts_of_every_kind() -> None:
    dice = random.Random(11)
    alphabet = [
        "a",
        "Z",
        "0",
        "\u0000",
        "\u001f",
        "\u007f",
        "\u0085",
        "\u2028",
        "\ufeff",
        "é",
        "中",
        "🦉",
        '"',
        "\\",
        "/",
    ]
    for _ in range(300):
        text = "".join(dice.choices(alphabet, k=dice.randint(1, 12)))
        assert observable_id("directory", {"path": text}) == stix2.v21.Directory(path=text).id


def test_the_order_of_properties_does_not_matter() -> None:
    forward = {"account_login": "jdoe", "user_id": "1"}
    backward = dict(reversed(forward.items()))
    assert observable_id("user-account", forward) == observable_id("user-account", backward)


@pytest.mark.parametrize(
    ("kind", "parts", "expected"),
    [
        ("incident", ["alert", "cs:cid-9f2", "ldt:7d1e9c:900"], "06a87d95-a1a9-4290-a464-9f383ccace01"),
        ("observed-data", ["alert", "cs:cid-9f2", "ldt:7d1e9c:900", 0], "ced3d6f5-e6da-49fd-99c7-1c18b95d5c52"),
        ("process", ["crowdstrike", "7d1e9c", "pid:7d1e9c:1"], "3a10636c-b786-4170-a651-13ba6f9b735b"),
        ("identity", ["tenant", "Acme GmbH"], "ae4c30ff-e98f-4dbe-b3ec-6b9b6e0df13a"),
    ],
)
def test_a_keyed_id_has_its_documented_value(kind: str, parts: list[Any], expected: str) -> None:
    assert KEY.id(kind, *parts) == f"{kind}--{expected}"


def test_a_keyed_id_is_a_version_4_uuid() -> None:
    for number in range(200):
        made = uuid.UUID(KEY.id("incident", number).partition("--")[2])
        assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_parts_do_not_run_into_each_other() -> None:
    assert KEY.id("incident", "ab", "c") != KEY.id("incident", "a", "bc")
    assert KEY.id("incident", "a", "") != KEY.id("incident", "a")
    assert KEY.id("incident", "1") != KEY.id("incident", 1)


def test_one_uuid_serves_one_type_and_one_tenant() -> None:
    other = TenantKey(bytes(32))
    found = {key.id(kind, "x").partition("--")[2] for key in (KEY, other) for kind in ("incident", "note", "opinion")}
    assert len(found) == 6


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, this one {length}"):
        TenantKey(bytes(length))


def test_a_key_is_read_from_hexadecimal_digits() -> None:
    assert TenantKey.from_text(f" {bytes(range(32)).hex().upper()}\n").id("x") == KEY.id("x")


@pytest.mark.parametrize("text", ["", "00" * 31, "zz" * 32, "00" * 33])
def test_a_text_that_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits") as caught:
        TenantKey.from_text(text)
    assert not text or text not in str(caught.value)


def test_a_derived_key_is_the_tenants_own() -> None:
    assert TenantKey.derived("acme").id("x") == TenantKey.derived("acme").id("x")
    assert TenantKey.derived("acme").id("x") != TenantKey.derived("umbrella").id("x")
    assert TenantKey.derived("acme").fingerprint != TenantKey.derived("umbrella").fingerprint


def test_the_fingerprint_does_not_tell_the_key() -> None:
    assert len(KEY.fingerprint) == 12
    assert KEY.fingerprint not in bytes(range(32)).hex()

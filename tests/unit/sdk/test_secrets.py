from pathlib import Path

import pytest

from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.secrets import Secret


def test_a_secret_is_read_from_the_environment_when_it_is_used() -> None:
    secret = Secret("env:ACME_KEY")
    assert secret.reveal({"ACME_KEY": "one"}) == "one"
    assert secret.reveal({"ACME_KEY": "two"}) == "two"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "hush-hush")
    assert Secret("env:ACME_KEY").reveal() == "hush-hush"


@pytest.mark.parametrize(
    "content",
    [
        b"hush\x0bhush",
        b"hush\x0bhush\n",
        b"hush\x0bhush\r\n",
        b"hush\x0bhush\nnote to self",
        b"\xef\xbb\xbfhush\x0bhush\n",
    ],
)
def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert Secret(f"file:{file}").reveal() == "hush\x0bhush"


@pytest.mark.parametrize("environ", [{}, {"ACME_KEY": ""}])
def test_a_missing_variable_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="ACME_KEY: is not set"):
        Secret("env:ACME_KEY").reveal(environ)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"\xff", "cannot be read"), (b"\nx", "empty")]
)
def test_an_unusable_file_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"key: secret file .*{words}"):
        Secret(f"file:{file}").reveal()


@pytest.mark.parametrize("text", ["hush-hush", "env:", "file:", "", "keyring:a", "http://u:hush-hush@example.com"])
def test_what_is_no_reference_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="never the secret itself") as caught:
        Secret(text)
    assert "hush-hush" not in str(caught.value)


def test_a_secret_shows_its_reference_only() -> None:
    for secret in (Secret("env:ACME_KEY"), Secret.literal("hush-hush")):
        assert f"{secret} {secret!r} {[secret]}" == f"Secret({secret.reference}) " * 2 + f"[Secret({secret.reference})]"
    assert "hush" not in repr(Secret.literal("hush-hush"))


def test_secrets_are_equal_when_they_lead_to_the_same_place() -> None:
    assert Secret("env:A") == Secret("env:A") != Secret("env:B")
    assert Secret.literal("a") != Secret.literal("b")
    assert len({Secret("env:A"), Secret("env:A"), Secret.literal("a")}) == 2
    assert Secret("env:A") != "env:A"


def test_a_key_in_pem_is_read_whole(tmp_path: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIB\nAAAA\n-----END PRIVATE KEY-----"
    file = tmp_path / "key.pem"
    file.write_text(f"{pem}\n", encoding="utf-8")
    assert Secret(f"file:{file}").reveal() == pem

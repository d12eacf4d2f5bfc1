import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from nightdesk.autonomy.policy_file import read_policy
from nightdesk.hub.setup import make_config, private_file, sign_policy, starter_policy
from nightdesk.sdk.errors import ConfigError

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_secrets_are_for_their_owner_alone_and_never_in_the_file(tmp_path: Path) -> None:
    config = make_config(tmp_path, "acme", "Acme", at=NOW)
    text = config.read_text(encoding="utf-8")
    files = list((tmp_path / "secrets").iterdir())
    assert {path.name for path in files} == {"acme.key", "acme.console", "owner.pem"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text(encoding="utf-8").strip() not in text


def test_nothing_that_exists_is_overwritten(tmp_path: Path) -> None:
    config = make_config(tmp_path, "acme", "Acme", at=NOW)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="not overwritten"):
        make_config(tmp_path, "acme", "Acme", at=NOW)
    config.unlink()
    with pytest.raises(ConfigError, match="not overwritten"):
        make_config(tmp_path, "acme", "Acme", at=NOW)
    del before[config]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_two_configurations_share_no_key(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_config(tmp_path / name, "acme", "Acme", at=NOW)
    for secret in ("acme.key", "acme.console", "owner.pem"):
        assert (tmp_path / "one/secrets" / secret).read_bytes() != (tmp_path / "two/secrets" / secret).read_bytes()


def test_a_private_file_is_made_with_its_folder(tmp_path: Path) -> None:
    private_file(tmp_path / "deep" / "secret", b"x")
    assert (tmp_path / "deep" / "secret").read_bytes() == b"x"
    with pytest.raises(ConfigError):
        private_file(tmp_path / "deep" / "secret", b"y")
    assert (tmp_path / "deep" / "secret").read_bytes() == b"x"


def test_a_second_signature_joins_the_first(tmp_path: Path) -> None:
    make_config(tmp_path, "acme", "Acme", at=NOW, signers=("alice", "bob"))
    policy = tmp_path / "policies" / "acme.yaml"
    beside = next(path for path in policy.parent.iterdir() if path.name.startswith("acme.yaml."))
    text = beside.read_text(encoding="utf-8")
    assert "alice" in text
    assert "bob" in text
    again = tmp_path / "copy.yaml"
    again.write_bytes(policy.read_bytes())
    sign_policy(again, tmp_path / "secrets" / "alice.pem", "alice", at=NOW)
    assert any(path.name.startswith("copy.yaml.") for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["starter", "demo", "scanner"])
def test_every_bundled_policy_is_valid(name: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(starter_policy(name))
    assert read_policy(path).policy_id
    assert isinstance(yaml.safe_load(path.read_bytes()), dict)

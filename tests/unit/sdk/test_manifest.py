from pathlib import Path
from typing import Any

import pytest
import yaml

from nightdesk.sdk.errors import ConfigError, UnsupportedError
from nightdesk.sdk.manifest import Manifest, load_manifest, validate_settings
from nightdesk.sdk.secrets import Secret

ISOLATE = {"stability": "beta", "scope": "hosts.write", "docs": "https://docs.example/hosts", "read_back": "state"}
COMMENT = {
    "stability": "beta",
    "scope": "alerts.write",
    "docs": "https://docs.example/alerts",
    "accept_only": "no read",
}
ACME: dict[str, Any] = {
    "vendor": "acme_edr",
    "title": "Acme EDR",
    "company": "Acme",
    "kind": "edr",
    "roles": ["edr"],
    "docs": "https://docs.example",
    "auth": ["api key"],
    "settings": {
        "url": {"type": "url", "help": "address of the API", "required": True, "example": "https://acme.example"},
        "key": {"type": "secret", "help": "API key", "required": True, "example": "env:ACME_KEY"},
        "page": {"type": "integer", "help": "alerts a page", "default": 50},
        "verify": {"type": "flag", "help": "check twice"},
        "region": {"type": "text", "help": "where", "choices": ["eu", "us"]},
    },
    "limits": {"requests_per_minute": 60, "source": "https://docs.example/limits"},
    "pulls": {"alerts": {"product": "acme_edr", "stability": "beta", "docs": "https://docs.example/alerts"}},
    "receives": {"webhook": {"product": "acme_edr", "stability": "alpha", "docs": "https://docs.example/hooks"}},
    "acts": {
        "host.isolate": {**ISOLATE, "inverse": "host.release"},
        "host.release": ISOLATE | {"inverse": "host.isolate"},
    },
    "writes_back": {"alert.comment": COMMENT},
}


def load(folder: Path, data: Any) -> Manifest:
    file = folder / "manifest.yaml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return load_manifest(file)


def test_a_manifest_says_what_a_vendor_can_do(tmp_path: Path) -> None:
    manifest = load(tmp_path, ACME)
    assert manifest.verbs == ("host.isolate", "host.release", "alert.comment")
    assert manifest.action("alert.comment").accept_only == "no read"
    assert manifest.stream("webhook").stability == "alpha"
    assert manifest.limits.requests_per_minute == 60


def test_asking_for_what_is_not_declared_names_what_is(tmp_path: Path) -> None:
    manifest = load(tmp_path, ACME)
    with pytest.raises(
        UnsupportedError, match=r"host\.scan is not declared; it can alert\.comment, host\.isolate, host\.release"
    ):
        manifest.action("host.scan")
    with pytest.raises(UnsupportedError, match="no stream 'incidents'; there are alerts, webhook"):
        manifest.stream("incidents")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vendor": "Acme-EDR"}, "vendor: .*is no slug"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"kind": "toaster"}, "kind: "),
        ({"limits": {"requests_per_minute": 0, "source": "x"}}, r"limits\.requests_per_minute: "),
        ({"acts": {"host.explode": ISOLATE}}, r"acts\.host\.explode: no such verb"),
        ({"acts": {"alert.comment": COMMENT}}, r"acts\.alert\.comment: alert\.\* verbs belong in writes_back"),
        ({"writes_back": {"host.isolate": ISOLATE}}, r"writes_back\.host\.isolate: alert\.\* verbs belong in"),
        ({"acts": {"host.isolate": {**ISOLATE, "accept_only": "x"}}}, "give read_back .* or accept_only"),
        ({"acts": {"host.isolate": {**ISOLATE, "read_back": ""}}}, "give read_back .* or accept_only"),
        ({"acts": {"host.isolate": {**ISOLATE, "inverse": "host.release"}}}, r"inverse host\.release is not declared"),
        ({"acts": {"host.isolate": ISOLATE}}, r"acts\.host\.isolate: needs inverse or irreversible"),
        (
            {"acts": {"host.isolate": {**ISOLATE, "parameters": ["colour"]}}},
            "no parameter colour",
        ),
        ({"acts": {"host.isolate": {**ISOLATE, "deadline": 0}}}, r"deadline: "),
    ],
)
def test_a_wrong_manifest_says_where_and_what(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=rf"manifest\.yaml: .*{words}"):
        load(tmp_path, {**ACME, **change})


def test_all_problems_of_a_manifest_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {**ACME, "kind": "toaster", "colour": "red", "limits": {}})
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"kind", "colour", "limits.requests_per_minute", "limits.source"}
    with pytest.raises(ConfigError, match=r"host\.explode: no such verb; .*host\.isolate: needs inverse"):
        load(tmp_path, {**ACME, "acts": {"host.explode": ISOLATE, "host.isolate": ISOLATE}})


def test_an_irreversible_action_says_why_instead_of_naming_an_inverse(tmp_path: Path) -> None:
    once = {**ISOLATE, "irreversible": "the vendor has no way back"}
    assert load(tmp_path, {**ACME, "acts": {"host.isolate": once}}).action("host.isolate").inverse == ""


@pytest.mark.parametrize("text", ["", "[]", "just words", "a: [", "a: \x00"])
def test_a_file_that_is_no_manifest_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"manifest\.yaml"):
        load(tmp_path, text)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        load_manifest(tmp_path / "absent.yaml")


# Settings of an instance.

GIVEN = {"url": "https://acme.example/", "key": "env:ACME_KEY"}


def check(given: dict[Any, Any]) -> dict[str, Any]:
    return validate_settings(Manifest.model_validate(ACME), given, file="nightdesk.yaml", key="tenants.a.acme")


def test_settings_are_filled_with_defaults_and_secrets_are_wrapped() -> None:
    assert check(GIVEN) == {"url": "https://acme.example", "key": Secret("env:ACME_KEY"), "page": 50}
    assert check({**GIVEN, "key": Secret.literal("k")})["key"] == Secret.literal("k")


def test_a_key_without_a_value_is_a_key_not_given() -> None:
    assert check({**GIVEN, "page": None, "region": None}) == check(GIVEN)
    with pytest.raises(ConfigError, match=r"acme\.url: is required \(address of the API\), for example https://acme"):
        check({**GIVEN, "url": None})


def test_all_problems_of_settings_are_reported_at_once_with_their_keys() -> None:
    with pytest.raises(ConfigError) as caught:
        check(
            {
                "url": "acme.example",
                "key": "hush-hush",
                "page": True,
                "verify": "no",
                "region": "mars",
                "pages": 1,
                7: 1,
            }
        )
    assert [(problem.file, problem.key, problem.message.split(";")[0]) for problem in caught.value.problems] == [
        ("nightdesk.yaml", "tenants.a.acme.7", "acme_edr has no such setting"),
        ("nightdesk.yaml", "tenants.a.acme.pages", "acme_edr has no such setting"),
        ("nightdesk.yaml", "tenants.a.acme.url", "must be an http(s) URL"),
        ("nightdesk.yaml", "tenants.a.acme.key", "write env:NAME or file:PATH, never the secret itself"),
        ("nightdesk.yaml", "tenants.a.acme.page", "must be integer, is bool"),
        ("nightdesk.yaml", "tenants.a.acme.verify", "must be flag, is str"),
        ("nightdesk.yaml", "tenants.a.acme.region", "must be one of eu, us"),
    ]
    assert "hush-hush" not in str(caught.value)

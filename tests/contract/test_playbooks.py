"""The bundled playbooks: valid to the standard's own schemas, free of vendors, and run through every EDR unchanged."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry as Schemas
from referencing import Resource
from tests.contract.test_law_09_vendor_names import named
from tests.hubs import REGISTRY

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.hub.playbooks.rehearsal import Rehearsed, main_role, rehearse_playbook, vendors_for
from nightdesk.hub.playbooks.words import vendor_names
from nightdesk.sdk.verbs import VERBS, VERSION

FOLDER = Path(__file__).parents[1] / "fixtures" / "cacao" / "schemas"
FILES = sorted(
    (one for one in (resources.files("nightdesk.autonomy.playbooks") / "bundled").iterdir()), key=lambda one: one.name
)
NAMES = [Path(one.name).stem for one in FILES]
EDRS = vendors_for(REGISTRY, "edr")


def _schemas() -> dict[str, Any]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.rglob("*.json"))]
    return {schema["$id"]: schema for schema in found}


def _faults(document: Any) -> list[str]:
    """Against the published schemas; a step's schema names a command's only in words, so each is held to its own."""
    schemas = _schemas()
    registry: Any = Schemas().with_resources([(key, Resource.from_contents(schema)) for key, schema in schemas.items()])
    base = next(key for key in schemas if key.endswith("/playbook.json")).removesuffix("playbook.json")

    def said(where: str, schema: str, value: Any) -> list[str]:
        validator = Draft7Validator(schemas[f"{base}{schema}"], registry=registry)
        return [f"{where}{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    commands = [
        (f"{name}/{number}", command)
        for name, step in document["workflow"].items()
        for number, command in enumerate(step.get("commands", ()))
    ]
    return said("", "playbook.json", document) + [
        fault for where, command in commands for fault in said(where, f"commands/{command['type']}.json", command)
    ]


def test_there_are_five() -> None:
    assert NAMES == ["beaconing-host", "cloud-key-misuse", "phishing", "ransomware-host", "stolen-credential"]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_bundled_playbook_is_valid_cacao(file: Any) -> None:
    assert _faults(json.loads(file.read_bytes())) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [("spec_version", "cacao-9"), ("id", "playbook-1"), ("workflow_start", 7), ("playbook_variables", {"__x__": {}})],
)
def test_the_schemas_catch_what_is_wrong(place: str, value: Any) -> None:
    document = json.loads(FILES[0].read_bytes())
    assert _faults({**document, place: value})
    step = next(name for name, body in document["workflow"].items() if body["type"] == "action")
    document["workflow"][step]["commands"][0] = {"type": "openc2-http"}
    assert len(_faults(document)) == 2


def test_what_we_check_is_at_least_what_the_schemas_check() -> None:
    """A required property that is missing is a fault here as it is there."""
    schema = _schemas()
    root = next(one for key, one in schema.items() if key.endswith("/playbook.json"))
    from nightdesk.autonomy.playbooks.library import parse
    from nightdesk.sdk.errors import ConfigError

    for name in root["required"]:
        document = json.loads(FILES[0].read_bytes())
        del document[name]
        with pytest.raises(ConfigError) as error:
            parse(json.dumps(document).encode(), "a.json")
        assert [one.key for one in error.value.problems] == [f"/{name}"]


def test_the_bundled_playbooks_pass_every_check_of_ours() -> None:
    assert bundled().problems(unnamed=vendor_names(REGISTRY)) == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield base64.b64decode(item).decode() if key.endswith("_b64") else str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_playbook_names_a_vendor_also_not_in_base64(file: Any) -> None:
    """Law 9."""
    texts = list(_texts(json.loads(file.read_bytes())))
    assert any('"target"' in text for text in texts), "the commands were read"
    assert named("\n".join(texts)) == set()


def test_every_playbook_says_what_it_is_for() -> None:
    table = (resources.files("nightdesk.stix") / "data" / "enterprise-techniques.tsv").read_text(encoding="utf-8")
    known = set(re.findall(r"^T\d{4}(?:\.\d{3})?(?=\t)", table, re.MULTILINE))
    for book in bundled().playbooks.values():
        header = book.header
        assert len(header.purpose) > 40
        assert header.techniques
        assert set(header.techniques) <= known, "an id that ATT&CK does not have"
        assert header.roles.required
        for step in book.workflow.values():
            assert step.name or step.type in {"start", "end"}


_SEEN: dict[str, set[str]] = {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ransomware-host", "beaconing-host"])
@pytest.mark.parametrize("vendor", EDRS)
def test_a_playbook_runs_on_every_edr_without_a_change(vendor: str, name: str) -> None:
    """Differentiator 1: the EDR is swapped, the playbook keeps its bytes; what one lacks is left out with a note."""
    book = bundled().find(name)
    _SEEN.setdefault(name, set()).add(hashlib.sha256(book.model_dump_json().encode()).hexdigest())
    found: Rehearsed = asyncio.run(rehearse_playbook(REGISTRY, bundled(), book, vendor))
    assert len(_SEEN[name]) == 1
    manifest = REGISTRY.manifests[vendor]
    if "host.isolate" not in manifest.acts:
        assert (found.state, found.requests) == ("refused", 0), "refused before anybody was asked"
        assert "does not offer host.isolate" in found.problem
        return
    assert (found.state, found.problem) == ("completed", "")
    isolated = [deed for deed in found.deeds if deed.verb == "host.isolate"]
    assert [(deed.state, deed.undone) for deed in isolated] == [("leased", True)]
    bad = [
        deed
        for deed in found.deeds
        if deed.state not in {"effective", "leased"}
        and not (deed.state == "accepted" and manifest.acts[deed.verb].accept_only)
    ]
    assert bad == []
    assert not [deed for deed in found.deeds if deed.undone is False]
    lacking = {visit.name for visit in found.visits if visit.outcome == "skipped"}
    assert ("Collect evidence" in lacking) is ("host.collect_evidence" not in manifest.acts)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"ransomware-host", "beaconing-host"}])
def test_every_other_playbook_runs_on_a_vendor_of_its_main_role(name: str) -> None:
    book = bundled().find(name)
    ends = {}
    for vendor in vendors_for(REGISTRY, main_role(book)):
        found = asyncio.run(rehearse_playbook(REGISTRY, bundled(), book, vendor))
        ends[vendor] = found.state
        assert found.state in {"completed", "refused"}, (vendor, found.problem)
        if found.state == "refused":
            assert "does not offer" in found.problem, vendor
            assert found.requests == 0
        else:
            assert not [deed for deed in found.deeds if deed.undone is False], vendor
            assert found.effective >= 3, vendor
    assert "completed" in ends.values()


def test_the_registry_of_verbs_only_grows_within_its_version() -> None:
    """Requirement 19: a playbook that pins a version finds every verb, target and parameter that this one had."""
    stored = json.loads((Path(__file__).parents[1] / "fixtures" / "verbs" / "1.json").read_text(encoding="utf-8"))
    assert VERSION.partition(".")[0] == "1", "a new first number takes a new fixture"
    for name, was in stored.items():
        assert name in VERBS, f"{name} may only go with a new first number, after it stood in DEPRECATED"
        now = VERBS[name]
        assert now.target == was["target"], name
        assert list(now.openc2) == was["openc2"], name
        assert now.inverse == was["inverse"], name
        assert set(was["parameters"]) <= set(now.parameters), name

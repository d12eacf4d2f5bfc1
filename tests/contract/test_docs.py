"""The documentation against the code: nothing public without its place, no dead link, no claim without its test."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightdesk.autonomy.policy_file import read_policy
from nightdesk.hub.config import config_schema
from nightdesk.hub.registry import Registry
from nightdesk.sdk import errors, hookspecs

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "changes").glob("*.md"),
        *ROOT.glob("connectors/*/*.md"),
    ]
)


def _page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def _headings(text: str) -> set[str]:
    return set(re.findall(r"^##+ (.+)$", text, re.MULTILINE))


def _load_tables() -> Any:
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_has_its_heading() -> None:
    names = {name for name, _ in _load_tables().commands()}
    assert {"nightdesk run", "nightdesk cases show", "nightdesk policy sign"} <= names
    assert _headings(_page("cli.md")) == names


def test_every_error_has_its_heading() -> None:
    named = {name for name in errors.__all__ if name.endswith("Error")}
    assert _headings(_page("errors.md")) == named


def test_the_tree_of_errors_is_drawn_whole() -> None:
    assert all(name in (errors.__doc__ or "") for name in errors.__all__ if name.endswith("Error"))


def test_every_hook_has_its_heading() -> None:
    named = {name for name in hookspecs.__all__ if name.startswith("nightdesk_")}
    assert _headings(_page("hooks.md")) == named


def test_every_vendor_has_its_heading_and_its_row() -> None:
    vendors = set(Registry.load(strangers=False).manifests)
    assert _headings(_page("vendors.md")) == vendors
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [vendor for vendor in vendors if f"| `{vendor}` |" not in readme]


def _keys(model: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    for name, spec in model["properties"].items():
        values = spec.get("additionalProperties")
        target = spec.get("$ref") or (values.get("$ref") if isinstance(values, dict) else None)
        if target:
            yield from (f"{name}.{inner}" for inner in _keys(known[target.rpartition("/")[2]], known))
        else:
            yield name


def test_every_key_of_the_configuration_has_its_row() -> None:
    schema = config_schema()
    rows = {row.replace("NAME.", "") for row in re.findall(r"^\| `([\w.]+)` \|", _page("config.md"), re.MULTILINE)}
    assert rows == set(_keys(schema, schema["$defs"]))


def test_generated_tables_are_up_to_date() -> None:
    pages = [str(page) for page in PAGES if "[[[" + "cog" in page.read_text(encoding="utf-8")]
    assert len(pages) >= 6
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "-I", "docs", "--check", *pages],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"run `make docs`\n{done.stdout}{done.stderr}"


_TEST = re.compile(r"`((?:tests|src|benchmarks)/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", [ROOT / "README.md", REFERENCE / "laws.md"], ids=lambda page: page.name)
def test_every_claim_names_a_test_that_is_there(page: Path) -> None:
    claims = _TEST.findall(page.read_text(encoding="utf-8"))
    assert len(claims) >= 10
    assert not [f"{file}::{test}" for file, test in claims if not _has(ROOT / file, test)]


def _has(file: Path, test: str) -> bool:
    if not file.is_file():
        return False
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return not test or test in functions


def test_every_row_of_the_claims_names_a_test() -> None:
    rows = (ROOT / "README.md").read_text(encoding="utf-8").partition("| claim | test |")[2].partition("\n\n")[0]
    claims = [row for row in rows.splitlines() if row.startswith("|") and "---" not in row and row != "|"]
    assert len(claims) >= 10
    assert not [row for row in claims if not _TEST.search(row)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link and not link.startswith("#")]
    assert not [link for link in links if not (page.parent / link.partition("#")[0]).exists()]


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "explanation" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = [path.name for path in folder.glob("0*.md")]
    assert len(pages) >= 3
    assert not [name for name in pages if f"({name})" not in index]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_rule_in_the_readme_is_a_rule(tmp_path: Path) -> None:
    (rule,) = _blocks(ROOT / "README.md", "yaml")
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"policy_id": "readme", "version": "1", "rules": yaml.safe_load(rule)}))
    assert [one.id for one in read_policy(policy).rules] == ["authorised-scanner"]


def test_every_command_line_in_the_documentation_is_one() -> None:
    known = dict(_load_tables().commands())
    wrong = []
    for page in PAGES:
        for block in _blocks(page, "sh"):
            for line in re.findall(r"^ *nightdesk (.+?)(?:\s+#.*| && .*)?$", block, re.MULTILINE):
                words = line.split()
                name = next(
                    (
                        f"nightdesk {' '.join(words[:n])}"
                        for n in (3, 2, 1)
                        if f"nightdesk {' '.join(words[:n])}" in known
                    ),
                    "",
                )
                options = {opt for param in known[name].params for opt in param.opts} if name else set()
                if not name or {word for word in words if word.startswith("--")} - options:
                    wrong.append(f"{page.name}: nightdesk {line}")
    assert not wrong

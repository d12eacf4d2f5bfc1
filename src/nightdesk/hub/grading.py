"""Proves a connector's claims: each rule of the quality scale that a machine can check is checked, on its simulator.

A claim that cannot be checked where this runs (fixtures and benchmarks are not in a wheel) stands as *claimed*.
"""

import ast
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import stix2
from stix2.exceptions import STIXError

from nightdesk.hub.fieldcoverage import field_coverage
from nightdesk.hub.quality import NO_EXEMPTION, RULES, claims, tier_reached
from nightdesk.hub.registry import Registry
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.testing.checks import acting, declared, failing, pulling
from nightdesk.sdk.testing.subject import Ground, Subject, an_alert
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.normalize import Normalizer
from nightdesk.stix.scope import Scope

__all__ = ["Grade", "RuleGrade", "grade"]

_REMOVING = r".*(remov|uninstall|disconnect)"

Check = Callable[[Ground, Subject], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RuleGrade:
    """One rule of a tier; ``state`` is ``proved``, ``claimed``, ``exempt``, ``todo`` or ``failed``."""

    rule: str
    tier: str
    state: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """One connector. ``proof`` is ``verified`` only where a real server was asked, else ``simulated``."""

    vendor: str
    tier: str
    claimed: str
    proof: str
    rules: tuple[RuleGrade, ...]


class _UncheckedError(NightdeskError):
    """What the check needs is not here."""


async def grade(registry: Registry, vendor: str, ground: Ground) -> Grade:
    """Grades one connector. Raises UnsupportedError when there is none of that name."""
    manifest = registry.manifest(vendor)
    subject = Subject(registry.packages[vendor], registry.folders[vendor], manifest)
    said = claims(subject.folder)
    checks = _checks(subject, registry)
    rows = [
        await _graded(name, tier, said.get(name, "todo"), checks.get(name, ()), ground, subject)
        for tier, names in RULES.items()
        for name in names
    ]
    excused = {row.rule for row in rows if row.state == "exempt" and row.rule not in NO_EXEMPTION}
    met = {row.rule for row in rows if row.state in {"proved", "claimed"}} | excused
    claimed = met | {row.rule for row in rows if row.state == "failed"}
    proof = "simulated" if manifest.simulated else "verified"
    return Grade(vendor, tier_reached(met), tier_reached(claimed), proof, tuple(rows))


async def _graded(
    name: str, tier: str, said: object, checks: tuple[Check, ...], ground: Ground, subject: Subject
) -> RuleGrade:
    if isinstance(said, Mapping):
        if said.get("exempt") and said.get("comment"):
            return RuleGrade(name, tier, "exempt", str(said["comment"]))
        return RuleGrade(name, tier, "failed", "an exemption says `exempt: true` and a comment")
    if said != "done":
        return RuleGrade(name, tier, "todo")
    try:
        for check in checks:
            await check(ground, subject)
    except _UncheckedError as error:
        return RuleGrade(name, tier, "claimed", str(error))
    except (AssertionError, NightdeskError) as error:
        return RuleGrade(name, tier, "failed", str(error) or type(error).__name__)
    return RuleGrade(name, tier, "proved" if checks else "claimed")


def _checks(subject: Subject, registry: Registry) -> dict[str, tuple[Check, ...]]:
    manifest = subject.manifest
    fed, remote = bool(manifest.feeds), manifest.remote
    normalizer = registry.normalizer()

    def only(condition: bool, *found: Check) -> tuple[Check, ...]:
        return found if condition else (_nothing_to_prove,)

    async def stix(ground: Ground, subject: Subject) -> None:
        await _same_in_same_out(ground, subject, normalizer)

    async def drift(ground: Ground, subject: Subject) -> None:
        await _drift_is_seen(ground, subject, normalizer)

    async def fields(ground: Ground, subject: Subject) -> None:
        await _every_field_is_fed(ground, subject, normalizer)

    return {
        "manifest-valid": (_nothing_to_prove,),  # it would not be here
        "folder-shape": (declared.folder_shape,),
        "declared-equals-implemented": (declared.implemented,),
        "example-config": (declared.settings,),
        "doc-links-per-operation": (_doc_links,),
        "fixtures-per-stream": only(bool(manifest.pulls or manifest.receives), _fixtures),
        "errors-mapped": only(remote, failing.errors),
        "no-secrets-in-logs": (declared.secrets_stay_secret, *((failing.secrets_in_errors,) if remote else ())),
        "strict-typing": (_annotated,),
        "scopes-documented": (_scopes_in_readme,),
        "removal-documented": (_removal,),
        "checkpoint-resumes": only(fed, pulling.resumes_anywhere, pulling.late_arrivals),
        "rate-limit-honoured": only(fed, failing.a_blip_costs_nothing),
        "paging-bounded": only(fed, pulling.any_page_size),
        "partial-failure-isolated": only(fed, failing.a_blip_costs_nothing),
        "auth-failure-stops": only(remote, failing.wrong_credentials),
        "health-check": only(remote, failing.health),
        "owner-named": (_owner,),
        "known-limits-documented": (_limits,),
        "field-coverage": only(bool(manifest.pulls), fields),
        "stix-valid-and-deterministic": only(bool(manifest.pulls), stix),
        "actions-reversible-or-flagged": only(bool(manifest.acts), acting.effects, acting.one_way, acting.losses),
        "diagnostics-redacted": (declared.secrets_stay_secret,),
        "schema-drift-detected": only(bool(manifest.pulls), drift),
        "how-to-page": (_steps,),
        "replay-benchmark": only(bool(manifest.pulls), _fixtures),
        "api-version-pinned-and-watched": (_api_version,),
    }


async def _nothing_to_prove(_: Ground, __: Subject) -> None:
    """The rule is met by being here, or asks nothing of such a connector."""


async def _doc_links(_: Ground, subject: Subject) -> None:
    manifest = subject.manifest
    links = {name: stream.docs for name, stream in {**manifest.feeds, **manifest.receives}.items()}
    links |= {name: action.docs for name, action in {**manifest.acts, **manifest.writes_back}.items()}
    bare = [name for name, link in links.items() if not link.startswith("https://")]
    assert not bare, f"no link to the vendor's page: {', '.join(bare)}"


async def _fixtures(_: Ground, subject: Subject) -> None:
    root = _source_tree(subject)
    for name, stream in {**subject.manifest.pulls, **subject.manifest.receives}.items():
        found = list((root / "tests" / "fixtures" / stream.product).rglob("*.json"))
        assert len(found) >= 5, f"{name}: {len(found)} fixtures of {stream.product}, 5 are the least"


async def _every_field_is_fed(ground: Ground, subject: Subject, normalizer: Normalizer) -> None:
    """Of the forms that this connector delivers; a product's other forms come by other ways."""
    root = _source_tree(subject)
    delivered = await _forms(ground, subject, normalizer)
    for product in {stream.product for stream in subject.manifest.pulls.values()}:
        for found in field_coverage(normalizer, product, root / "tests" / "fixtures" / product):
            if found.form in delivered:
                assert not found.unfed, (
                    f"{found.stream}: {len(found.unfed)} of {found.fields} mapped fields are in no fixture, such as "
                    f"{', '.join(found.unfed[:5])}"
                )


async def _forms(ground: Ground, subject: Subject, normalizer: Normalizer) -> set[str]:
    forms = set()
    async with ground.bench(subject) as bench:
        bench.burst(1)
        for stream, spec in subject.manifest.pulls.items():
            async for batch in bench.connect().pull(stream, None, limit=10):
                forms |= {normalizer.normalize(spec.product, one.payload, _scope()).form for one in batch.records}
    return forms


def _source_tree(subject: Subject) -> Path:
    root = next((one for one in subject.folder.parents if (one / "tests" / "fixtures").is_dir()), None)
    if root is None:
        raise _UncheckedError("fixtures are in the source tree alone")
    return root


async def _annotated(_: Ground, subject: Subject) -> None:
    bare = [f"{path.name}:{line}" for path in sorted(subject.folder.glob("*.py")) for line in _untyped(path)]
    assert not bare, f"functions without types: {', '.join(bare[:5])}"


def _untyped(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [one for one in given if one.arg not in {"self", "cls"}]
            if node.returns is None or any(one.annotation is None for one in named):
                yield node.lineno


async def _scopes_in_readme(_: Ground, subject: Subject) -> None:
    text, manifest = _words(_readme(subject)), subject.manifest
    scopes = {stream.scope for stream in manifest.feeds.values()}
    scopes |= {action.scope for action in manifest.acts.values()}
    scopes |= {action.scope for action in manifest.writes_back.values()}
    missing = sorted(scope for scope in scopes if not _words(scope) <= text)
    assert not missing, f"README.md does not name the permission {missing[0]!r}"


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9]+", text.lower()) if len(word) > 3}


async def _removal(_: Ground, subject: Subject) -> None:
    headings = re.findall(r"^#+ (.*)$", _readme(subject), re.MULTILINE)
    assert any(re.match(_REMOVING, heading, re.IGNORECASE) for heading in headings), (
        "README.md has no heading about removing it"
    )


async def _steps(_: Ground, subject: Subject) -> None:
    """The way in, not the way out: a section that is not about removing it, with at least three numbered steps."""
    sections = re.split(r"^#+ ", _readme(subject), flags=re.MULTILINE)
    ways_in = [text for text in sections if not re.match(_REMOVING, text, re.IGNORECASE)]
    assert any(len(re.findall(r"^\d+\. ", text, re.MULTILINE)) >= 3 for text in ways_in), (
        "README.md has no numbered steps from the vendor's console to a working connector"
    )


def _readme(subject: Subject) -> str:
    return (subject.folder / "README.md").read_text(encoding="utf-8")


async def _owner(_: Ground, subject: Subject) -> None:
    text = (subject.folder / "quality.yaml").read_text(encoding="utf-8")
    assert re.search(r"^owner: \S+", text, re.MULTILINE), "quality.yaml names no owner"


async def _limits(_: Ground, subject: Subject) -> None:
    assert subject.manifest.known_limits, "the manifest names no known limit; every vendor has some"


async def _api_version(_: Ground, subject: Subject) -> None:
    assert subject.manifest.api_versions, "the manifest pins no version of the vendor's API"


async def _same_in_same_out(ground: Ground, subject: Subject, normalizer: Normalizer) -> None:
    first, second = [await _bundles(ground, subject, normalizer) for _ in range(2)]
    assert first, "no alert of the simulator reaches the normaliser"
    assert first == second, "the same alerts give other STIX the second time"
    for text in first:
        try:
            stix2.parse(json.loads(text), allow_custom=True)
        except (STIXError, ValueError) as error:
            raise AssertionError(f"python-stix2 refuses the bundle: {error}") from error


async def _bundles(ground: Ground, subject: Subject, normalizer: Normalizer) -> list[bytes]:
    scope = _scope()
    made = []
    async with ground.bench(subject, secret="the-same-tenant-again") as bench:  # noqa: S106  # made up
        bench.burst(3)
        for stream, spec in subject.manifest.pulls.items():
            async for batch in bench.connect().pull(stream, None, limit=10):
                made += [normalizer.normalize(spec.product, record.payload, scope).bundle for record in batch.records]
    return sorted(made)


async def _drift_is_seen(ground: Ground, subject: Subject, normalizer: Normalizer) -> None:
    """A field that nobody knew, in an alert as the connector delivers it, is named by the loss report."""
    async with ground.bench(subject) as bench:
        bench.simulator.add(an_alert(bench.time, "plain"))
        connector = bench.connect()
        for stream, spec in subject.manifest.pulls.items():
            payloads = [
                record.payload async for batch in connector.pull(stream, None, limit=10) for record in batch.records
            ]
            for payload in payloads[:1]:
                document = {**json.loads(payload), "a_field_nobody_knew_v2": "drifted"}
                made = normalizer.normalize(spec.product, json.dumps(document).encode(), _scope())
                assert any("a_field_nobody_knew_v2" in path for path in made.loss.lost), (
                    f"{stream}: a new field is not in the loss report"
                )


def _scope() -> Scope:
    return Scope("grading", "Grading", TenantKey.from_text("00" * 32), "amber")

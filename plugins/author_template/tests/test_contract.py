"""The contract suite over this package, and every fixture through its mapping without a loss."""

import json
from pathlib import Path

import pytest

from nightdesk.hub.registry import Registry
from nightdesk.sdk.testing import contract
from nightdesk.sdk.testing.subject import Subject
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

pytestmark = pytest.mark.filterwarnings("error")

_FIXTURES = sorted((Path(__file__).parent / "fixtures" / "acme_edr").rglob("*.json"))
_SCOPE = Scope("acme", "Acme GmbH", TenantKey.from_text("0" * 64))

ground = contract.ground
globals().update(
    {
        name: pytest.mark.parametrize("nightdesk_subject", [Subject.of("acme_edr_nightdesk.acme_edr")], ids=str)(test)
        for name, test in vars(contract).items()
        if name.startswith("test_")
    }
)


@pytest.mark.parametrize("fixture", _FIXTURES, ids=lambda path: path.stem)
def test_a_fixture_loses_nothing(fixture: Path) -> None:
    """Every value of a fixture is read, or ignored with a reason."""
    made = Registry.load().normalizer().normalize("acme_edr", fixture.read_bytes(), _SCOPE)
    assert made.loss.lost == ()
    assert made.loss.wrong == ()
    assert json.loads(made.bundle)["type"] == "bundle"

"""Every bundled vendor keeps the contract; a new one is walked because its folder is there."""

import pytest

from nightdesk.hub.registry import Registry
from nightdesk.sdk.testing import contract
from nightdesk.sdk.testing.subject import Subject

_REGISTRY = Registry.load(strangers=False)
_SUBJECTS = [
    Subject(_REGISTRY.packages[vendor], _REGISTRY.folders[vendor], manifest)
    for vendor, manifest in sorted(_REGISTRY.manifests.items())
]
pytestmark = pytest.mark.parametrize("nightdesk_subject", _SUBJECTS, ids=str)

ground = contract.ground
globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})

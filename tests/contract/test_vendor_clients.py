"""A simulator that the vendor's own library cannot tell from the vendor is right; each library is asked.

The libraries live in environments of their own (``tests/clients/<vendor>.txt``); a script beside it drives one of them.
"""

import json
from pathlib import Path

import pytest
from tests.environments import finished, python_of
from tests.hubs import REGISTRY

from nightdesk.sdk.context import utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import ACCOUNT, DEVICE, an_alert

_FOLDER = Path(__file__).parents[1] / "clients"
_CLIENTS = sorted(path.stem for path in _FOLDER.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("vendor", _CLIENTS)
def test_the_vendors_own_library_works_with_the_simulator(vendor: str) -> None:
    simulator = REGISTRY.simulator(vendor)()
    simulator.add_devices([DEVICE])
    simulator.add_accounts([ACCOUNT])
    time = FakeTime(utc_now())
    manifest = REGISTRY.manifest(vendor)
    alerts = [simulator.add(an_alert(time, f"client-{number}")) for number in range(3) if manifest.feeds]
    with serve(simulator) as served:
        settings = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in simulator.settings(served.base_url).items()
        }
        given = {**settings, "alerts": alerts, "devices": list(simulator.fleet.devices)}
        # -P: a script is called like its library, which it must not find in its own folder instead.
        finished([python_of(_FOLDER / f"{vendor}.txt"), "-P", _FOLDER / f"{vendor}.py"], json.dumps(given))


def test_every_script_says_what_it_needs_and_is_pinned() -> None:
    for vendor in _CLIENTS:
        first = (_FOLDER / f"{vendor}.py").read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith("# requires: "), f"{vendor}: the first line says what the script requires"
        wanted = first.removeprefix("# requires: ").replace(" ", "").split(",")
        asked = (_FOLDER / f"{vendor}.in").read_text(encoding="utf-8").split()
        assert sorted(asked) == sorted(wanted), f"{vendor}.in is not what the script requires"
        pinned = (_FOLDER / f"{vendor}.txt").read_text(encoding="utf-8").lower()
        assert all(one.lower().partition("[")[0].partition("==")[0] in pinned for one in wanted), vendor

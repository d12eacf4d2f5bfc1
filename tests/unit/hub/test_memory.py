import subprocess
import sys

PROGRAM = """
import gc
from nightdesk.hub.memory import THRESHOLD, set_collector
set_collector()
assert gc.get_threshold()[0] == THRESHOLD and gc.isenabled() and gc.get_freeze_count() > 0
class Ring: pass
import weakref
ring = Ring(); ring.self = ring; seen = weakref.ref(ring); del ring
gc.collect()
assert seen() is None
"""


def test_cycles_are_still_collected_afterwards() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)

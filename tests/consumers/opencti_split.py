"""Splits bundles as the platform's workers get them, clean-up on; runs with pycti, which needs libmagic1."""

import json
import sys
from typing import Any

from pycti import MarkingDefinition, OpenCTIStix2Splitter  # type: ignore[import-not-found]  # its own environment has it


def split(bundle: dict[str, Any]) -> dict[str, Any]:
    """What comes out, and the ids of what the splitter found unfit."""
    splitter = OpenCTIStix2Splitter()
    expected, unfit, parts = splitter.split_bundle_with_expectations(
        json.dumps(bundle), cleanup_inconsistent_bundle=True
    )
    objects = [entry for part in parts for entry in json.loads(part)["objects"]]
    for entry in objects:
        del entry["nb_deps"]
    return {"expected": expected, "objects": objects, "unfit": [entry["id"] for entry in unfit]}


json.dump(
    {
        "split": [split(bundle) for bundle in json.load(sys.stdin)],
        "tlp": {
            word: MarkingDefinition.generate_id("TLP", f"TLP:{word.upper()}")
            for word in ("clear", "green", "amber", "amber+strict", "red")
        },
    },
    sys.stdout,
)

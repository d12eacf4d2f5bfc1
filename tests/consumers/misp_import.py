"""Imports bundles into events; runs with misp-stix and pymisp."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from misp_stix_converter import ExternalSTIX2toMISPParser  # type: ignore[import-not-found]  # its own environment has it


def imported(bundle: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The events of a bundle as MISP's JSON, and what the import complained of."""
    file = folder / "bundle.json"
    file.write_text(json.dumps(bundle), encoding="utf-8")
    parser = ExternalSTIX2toMISPParser()
    parser.parse_stix_content(str(file))
    events = parser.misp_events if isinstance(parser.misp_events, list) else [parser.misp_events]
    said = [text for found in (parser.errors, parser.warnings) for texts in found.values() for text in texts]
    return {"events": [json.loads(event.to_json()) for event in events], "said": said}


with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
    answers = [imported(bundle, Path(scratch)) for bundle in json.load(sys.stdin)]
json.dump(answers, sys.stdout)

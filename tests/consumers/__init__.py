"""Programs of other people that take what nightdesk sends, each in an environment of its own under build/consumers.

What they are is pinned in the requirement files beside this one, with hashes and without an index address, as those of
the project are (``uv pip compile --generate-hashes --no-emit-index-url --no-header --no-annotate``).
"""

import json
from pathlib import Path
from typing import Any

from tests import environments
from tests.environments import clean_environment, finished

__all__ = ["FOLDER", "clean_environment", "python_of", "run"]

FOLDER = Path(__file__).parent


def python_of(name: str) -> Path:
    """The interpreter of one consumer's environment."""
    return environments.python_of(FOLDER / f"{name}.txt")


def run(name: str, script: str, document: Any) -> Any:
    """What a script of this folder says, as JSON, of a document that it reads from its standard input."""
    return json.loads(finished([python_of(name), FOLDER / script], json.dumps(document)))

"""Serves TAXII 2.1 on loopback until it is killed; runs with medallion. Its argument is the configuration file.

Writes its port to standard output. medallion 3.0.0 takes any object with a ``version`` (``software``,
``extension-definition``) for a manifest record, reads "10.0.26100" as a time, and answers 500 for the whole collection
from then on: hence the shim.
"""

import sys
from typing import Any

import medallion  # type: ignore[import-not-found]  # its own environment has it
from medallion import common
from medallion.backends import memory_backend  # type: ignore[import-not-found]  # its own environment has it
from medallion.filters import basic_filter  # type: ignore[import-not-found]  # its own environment has it
from werkzeug.serving import make_server  # type: ignore[import-not-found]  # its own environment has it

_find_att = common.find_att


def find_att(entry: dict[str, Any]) -> object:
    """The version of a manifest record, or of an object whatever its own ``version`` says."""
    if "type" in entry and "version" in entry:
        entry = {name: value for name, value in entry.items() if name != "version"}
    return _find_att(entry)


for module in (common, memory_backend, basic_filter):
    module.find_att = find_att
server = make_server("127.0.0.1", 0, medallion.load_app(sys.argv[1]))
sys.stdout.write(f"{server.server_port}\n")
sys.stdout.flush()
server.serve_forever()

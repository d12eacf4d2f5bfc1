"""Whom a TLS connection believes: the public authorities, and a private one that the configuration names."""

import functools
import ssl

import httpx

from nightdesk.sdk.context import Network
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["trust"]


def trust(network: Network) -> ssl.SSLContext:
    """What connections of that network use. Raises ConfigError when its ``ca_file`` cannot be read."""
    if network.ca_file is None:
        return _public()
    made = httpx.create_ssl_context(trust_env=False)
    try:
        made.load_verify_locations(network.ca_file)
    except (OSError, ssl.SSLError) as error:
        problem = f"cannot be read as PEM certificates ({type(error).__name__})"
        raise ConfigError([Problem(network.ca_file, "network.ca_file", problem)]) from error
    return made


@functools.cache
def _public() -> ssl.SSLContext:
    """Made once and changed by nobody: reading the authorities costs more than most calls."""
    return httpx.create_ssl_context(trust_env=False)

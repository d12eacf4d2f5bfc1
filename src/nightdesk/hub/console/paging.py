"""Page tokens: the place in a list after which the next page goes on, as a text for an address."""

import base64
import binascii

import orjson

__all__ = ["place_of", "token_for"]


def token_for(place: tuple[str, ...]) -> str:
    """The token of that place."""
    return base64.urlsafe_b64encode(orjson.dumps(list(place))).decode().rstrip("=")


def place_of(token: str, parts: int) -> tuple[str, ...] | None:
    """The place a token names, of so many parts; None, which is the first page, for a broken one."""
    try:
        found = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_"))
    except (binascii.Error, ValueError):
        return None
    fits = isinstance(found, list) and len(found) == parts and all(isinstance(part, str) for part in found)
    return tuple(found) if fits else None

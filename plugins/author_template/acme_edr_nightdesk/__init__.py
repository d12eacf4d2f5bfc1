"""Acme EDR for nightdesk: where its connector and its mapping are."""

from pathlib import Path

from nightdesk.sdk.hookspecs import hookimpl

_HERE = Path(__file__).parent


@hookimpl
def nightdesk_connector_folders() -> list[tuple[str, Path]]:
    """The connector's package and folder."""
    return [("acme_edr_nightdesk.acme_edr", _HERE / "acme_edr")]


@hookimpl
def nightdesk_normalizer_folders() -> list[tuple[str, Path]]:
    """The mapping's product and folder."""
    return [("acme_edr", _HERE / "normalizers" / "acme_edr")]

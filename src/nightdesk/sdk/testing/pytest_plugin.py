"""Lets anyone's pytest walk the contract suite: it only reads options, so a run that does not ask pays nothing.

    pytest --pyargs nightdesk.sdk.testing.contract --nightdesk-connector acme_nightdesk.acme_edr

pytest loads this module in every run of an environment with nightdesk in it, before coverage is measured: nothing of
nightdesk may be imported at its top.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nightdesk.sdk.testing.subject import Subject

__all__ = ["pytest_addoption", "pytest_generate_tests"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that names connectors."""
    parser.getgroup("nightdesk").addoption(
        "--nightdesk-connector",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a connector's package (acme_nightdesk.acme_edr) for nightdesk.sdk.testing.contract; may be repeated",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test that takes ``nightdesk_subject`` once for every connector named."""
    if "nightdesk_subject" not in metafunc.fixturenames or _is_given_otherwise(metafunc):
        return
    packages: list[str] = metafunc.config.getoption("--nightdesk-connector")
    metafunc.parametrize("nightdesk_subject", [_subject(name) for name in packages], ids=packages)


def _subject(package: str) -> "Subject":
    from nightdesk.sdk.testing.subject import Subject  # noqa: PLC0415 (see the module's docstring)

    return Subject.of(package)


def _is_given_otherwise(metafunc: pytest.Metafunc) -> bool:
    return any("nightdesk_subject" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))

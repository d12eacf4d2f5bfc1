"""The command line; every command has ``--json``."""

__all__ = ["main"]


def main() -> None:
    """The entry point ``nightdesk``."""
    from nightdesk.hub.cli.app import app

    app()

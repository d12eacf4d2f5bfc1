"""The group of commands about earned autonomy."""

import typer

from nightdesk.hub.cli import oversight

__all__ = ["autonomy_app"]

autonomy_app = typer.Typer(help="What the machine may do alone, and on what evidence.", no_args_is_help=True)
oversight.register(autonomy_app)

"""The command that trains the model by hand; the running hub does it once a day."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nightdesk.hub.cli.output import ConfigFile, Json, emit, fail, troubles

if TYPE_CHECKING:
    from nightdesk.hub.learning.training import Trained

__all__ = ["register"]

_DEFAULT = Path("nightdesk.yaml")


def register(group: typer.Typer) -> None:
    """Adds the command to ``nightdesk autonomy``."""
    group.command("train")(train)


def train(config: ConfigFile = _DEFAULT, as_json: Json = False) -> None:
    """Trains from what people judged at all tenants, and says what may be promised. Needs the extra `learn`.

    The new model decides nothing before it has scored 500 cases in shadow; run it again to see how far it is.
    Exit 0: trained, confirmed, or still in shadow. 1: there is too little to learn from, and of what. 2: the
    configuration is wrong, or the extra is not installed.
    """
    from nightdesk.hub.config import load_config
    from nightdesk.hub.learning.training import Training
    from nightdesk.hub.registry import Registry
    from nightdesk.hub.store import Store
    from nightdesk.sdk.context import utc_now
    from nightdesk.sdk.errors import ConfigError, NightdeskError

    with troubles(as_json):
        settings = load_config(config, Registry.load())
        store = Store.open(settings.store)
        try:
            typer.echo("reading judged cases and training; a minute for 50,000 groups", err=True)
            done = Training(store, settings.tenants, utc_now, settings.learning.settings()).train()
        except ConfigError:
            raise
        except NightdeskError as error:
            fail(str(error), code=1, as_json=as_json)
        finally:
            store.close()
    if as_json:
        emit(done.to_json())
        return
    _shown(done)


def _shown(done: "Trained") -> None:
    told = done.to_json()
    typer.echo(f"model {told['model'][:12]}: {told['standing']} ({told['reason']})")
    figures = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in told["learnt_from"].items())
    typer.echo(f"learnt from: {figures}")
    typer.echo(f"promised: {told['promise']}")
    for name, one in told["tenants"].items():
        left = f"; left to people: {', '.join(one['distrusted'])}" if one["distrusted"] else ""
        typer.echo(f"  {name}: {'certified' if one['certified'] else 'nothing is closed'}{left}")

"""The settings on the command line: options made from the settings table, for every command that needs them."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge import config
from bridge.config import Settings

WHERE = ("data_dir", "public_url", "database_url")
"""What finds an installation: enough for commands beside the server."""
SERVING = tuple(setting.name for setting in fields(Settings))

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def with_settings(names: Collection[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command `--config` and one option for each of these settings; it gets a `settings` argument instead.

    Options that are not said leave the setting to the environment and the file.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True)
        kept = [parameter for name, parameter in own.parameters.items() if name != "settings"]

        def call(**said: Any) -> Any:
            overrides = {name: said.pop(name) for name in names}
            settings = config.load(os.environ, said.pop("config"), overrides)
            return command(settings=settings, **said)

        call.__name__ = command.__name__
        call.__doc__ = command.__doc__
        options = [_option(name) for name in names]
        call.__signature__ = inspect.Signature([*kept, _CONFIG, *options])  # type: ignore[attr-defined]
        call.__annotations__ = {}
        return call

    return decorate


def seconds(text: str | None) -> int | None:
    """A length of time such as `90m`, `12h`, `7d` or plain seconds. Raises typer.BadParameter."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no length of time; say for example 90m, 12h or 7d")
    return int(match[1]) * _UNITS_S[match[2]]


def _option(name: str) -> inspect.Parameter:
    setting = next(setting for setting in fields(Settings) if setting.name == name)
    text = setting.metadata["text"].replace("`", "")
    option = typer.Option(f"--{name.replace('_', '-')}", help=text, metavar="VALUE", show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A settings file (TOML).")
    ],
)

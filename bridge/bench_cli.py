"""`bridge bench`: measures this machine under load, by a server and a crowd that it starts itself."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import resource
from typing import Annotated

import typer
import uvloop

from bridge.crowd.event import Wish, run
from bridge.crowd.member import Heights
from bridge.crowd.result import figures, table

SOCKETS_EACH = 4
"""WebSocket, publisher, subscriber, and one to spare."""

bench_cli = typer.Typer(help="Measure this machine under load.", no_args_is_help=True)


@bench_cli.callback()
def _bench() -> None:
    """Measure this machine under load."""


@bench_cli.command()
def event(
    points: Annotated[
        int, typer.Option(min=1, max=1000, help="How many points send a picture and a sound.")
    ] = 200,
    stage: Annotated[int, typer.Option(min=0, max=9, help="How many of them are on the stage.")] = 9,
    viewers: Annotated[int, typer.Option(min=0, max=5000, help="How many come to see the stage.")] = 500,
    storm_s: Annotated[
        float, typer.Option("--storm-s", min=0, help="Within how many seconds they come.")
    ] = 15,
    seconds: Annotated[float, typer.Option(min=1, help="How long is measured after that.")] = 60,
    speaking: Annotated[
        int, typer.Option(min=0, max=9, help="How many on the stage have their microphone open.")
    ] = 2,
    main_height: Annotated[
        int, typer.Option(min=0, max=1080, help="In what height everybody sees the first of the stage.")
    ] = 540,
    other_height: Annotated[int, typer.Option(min=0, max=1080, help="In what height the others.")] = 136,
    storms: Annotated[
        int,
        typer.Option(min=1, max=100, help="How often viewers come; but the last time they leave at once."),
    ] = 1,
    points_watch: Annotated[
        bool, typer.Option("--points-watch/--points-only-send", help="Whether points see the stage, too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but the JSON object.")] = False,
) -> None:
    """A launch event: points send, some are on the stage, viewers storm in, all stay for a while.

    The last line is one JSON object.
    """
    wish = Wish(
        points=points,
        stage=min(stage, points),
        viewers=viewers,
        storm_s=storm_s,
        seconds=seconds,
        speaking=speaking,
        points_watch=points_watch,
        storms=storms,
        heights=Heights(main_height, other_height),
    )
    _allow_sockets(SOCKETS_EACH * (points + viewers) + 1000)

    def say(line: str) -> None:
        if not as_json:
            typer.echo(line)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        course = runner.run(run(wish, say))
    for line in table(course):
        say(line)
    typer.echo(json.dumps(dataclasses.asdict(figures(course))))


def _allow_sockets(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
    except (OSError, ValueError):
        raise typer.BadParameter(f"{count} sockets are not allowed here") from None

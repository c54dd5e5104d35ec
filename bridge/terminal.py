"""What commands that look after stored things have in common: a progress bar, dates and sizes as people read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bridge import logs

_Result = TypeVar("_Result")


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, if that is a terminal; call it with what is done, and of how much (0: unknown)."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(text, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total or None)


def run_to_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """To its end, with nothing but warnings between what is printed."""
    logs.configure(level="warning")
    return asyncio.run(work)


def date_of(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def size_of(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"

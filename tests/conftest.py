"""Lets several processes of pytest-xdist share the machine: a test marked `alone` runs while no other does, as it
measures time on which other work would tell. No property has to hold within a time. Knows nothing of what the tests are
about."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A machine that is busy with other things is no defect of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


class Turns:
    """Many tests at once, or one alone. Whoever waits is overtaken by nobody, so that the lone ones come to it."""

    def __init__(self, folder: Path) -> None:
        self._door, self._room = (
            os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for name in ("door", "room")
        )

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Not by closing: what a test forked would hold it on.
            fcntl.flock(self._room, fcntl.LOCK_UN)


FOLDER = pytest.StashKey[Path]()
TURNS = pytest.StashKey[Turns]()


def pytest_configure(config: pytest.Config) -> None:
    told: dict[str, Any] | None = getattr(config, "workerinput", None)
    if told is not None:
        config.stash[TURNS] = Turns(Path(told["turns"]))
    else:
        config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="bridge-turns-"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if FOLDER in config.stash:
        shutil.rmtree(config.stash[FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["turns"] = str(node.config.stash[FOLDER])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around the test with its fixtures, and outside of its timeout: waiting for a turn is not its time."""
    if TURNS not in item.config.stash:
        return (yield)
    with item.config.stash[TURNS].taken(alone=item.get_closest_marker("alone") is not None):
        return (yield)

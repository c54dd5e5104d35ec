"""A real server process, and participants that are programs on aiortc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.demo.pictures import Cine, cine_path, read_cine
from bridge.demo.sound import Samples, voice
from tests.serving import Server, running_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "data") as server:
        yield server


@pytest.fixture(scope="session")
def cine() -> Cine:
    return read_cine(cine_path())


@pytest.fixture(scope="session")
def sound() -> Samples:
    return voice()

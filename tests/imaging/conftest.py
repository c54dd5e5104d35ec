"""One pool of workers for all tests of imaging: they are processes, and slow to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.imaging.workers import Workers


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    pool = Workers(2)
    yield pool
    pool.close()

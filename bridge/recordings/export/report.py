"""What came of an export, and how its progress is told; for people, in plain sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.recordings.export.lanes import Losses

Progress = Callable[[int, int], None]
"""Called now and then with how much of how much is done. What it raises ends the export."""
PROGRESS_EVERY_US = 250_000


@dataclass
class Report:
    """What is in the file. Times are on the recording's clock; the file's own begin with 0."""

    begin_ms: int = 0
    end_ms: int = 0
    tracks: int = 0
    frames: int = 0
    remarks: list[str] = field(default_factory=list)
    """What is not as in the recording, such as pictures that were encoded anew."""
    losses: Losses = field(default_factory=Losses)
    """What is damaged in the recording, and therefore not in the file."""


class Meter:
    """Calls `progress` not too often."""

    def __init__(self, progress: Progress | None, total_us: int) -> None:
        self._progress = progress
        self._total_us = max(1, total_us)
        self._told_us = -PROGRESS_EVERY_US

    def at(self, done_us: int) -> None:
        if self._progress is not None and done_us - self._told_us >= PROGRESS_EVERY_US:
            self._told_us = done_us
            self._progress(min(done_us, self._total_us), self._total_us)

    def done(self) -> None:
        if self._progress is not None:
            self._progress(self._total_us, self._total_us)

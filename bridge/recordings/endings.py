"""How a recording ended, as it says itself."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.ids import RecordingId
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import (
    RecordingEnded,
    RecordingPaused,
    RecordingResumed,
    event_of,
    ref_of,
)
from bridge.vault import Vault


@dataclass(frozen=True, slots=True)
class Ending:
    """`because` is the reason of its `RecordingEnded`, None if it has none; `paused`: it was so to its end."""

    because: str | None
    paused: bool


def read_ending(vault: Vault, recording: RecordingId) -> Ending:
    """Blocks. Raises VaultError, ConfigError."""
    with RecordingReader(vault.open(ref_of(recording))) as reader:
        known = [event_of(event) for event in reader.events()]
    reasons = [event.reason for event in known if isinstance(event, RecordingEnded)]
    pauses = [event for event in known if isinstance(event, RecordingPaused | RecordingResumed)]
    paused = bool(pauses) and isinstance(pauses[-1], RecordingPaused)
    return Ending(reasons[-1] if reasons else None, paused)

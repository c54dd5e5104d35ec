"""The names of things that every layer shares: id types, roles, kinds and formats. No I/O, no rules."""

from __future__ import annotations

import base64
import secrets
from enum import StrEnum
from typing import NewType

SessionId = NewType("SessionId", str)
InviteId = NewType("InviteId", str)
PointId = NewType("PointId", str)
ParticipantId = NewType("ParticipantId", str)
RecordingId = NewType("RecordingId", str)

_ID_BYTES = 10
"""80 random bits: never guessed, never met twice, and sixteen characters without padding."""


class Role(StrEnum):
    """What an invite makes of whoever opens it; `docs/protocol.md` says what each may do."""

    ORGANISER = "organiser"
    HUB = "hub"
    SATELLITE = "satellite"
    VIEWER = "viewer"


class SessionKind(StrEnum):
    """The six kinds of Viet Nam's Circular 49/2017."""

    ADVICE = "advice"
    CONSULTATION = "consultation"
    RADIOLOGY = "radiology"
    PATHOLOGY = "pathology"
    SURGERY = "surgery"
    TRAINING = "training"


class SessionFormat(StrEnum):
    """A consult of a few equals, or an event with an audience."""

    CONSULT = "consult"
    EVENT = "event"


class SessionState(StrEnum):
    """An ended session is never opened again."""

    OPEN = "open"
    ENDED = "ended"


class RecordMode(StrEnum):
    """Whether a session is recorded: by itself as soon as two are there, when somebody says so, or never."""

    AUTO = "auto"
    MANUAL = "manual"
    NEVER = "never"


class RecordingState(StrEnum):
    """`cut`: its server died while it ran; what was written is there. `shredded`: nobody can read it any more."""

    RUNNING = "running"
    ENDED = "ended"
    CUT = "cut"
    SHREDDED = "shredded"


def new_id() -> str:
    """A fresh opaque id in lower case letters and digits, so that it is safe in a path and on a command line."""
    return base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode("ascii").lower()

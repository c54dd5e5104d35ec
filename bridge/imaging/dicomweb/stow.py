"""Store (PS3.18 10.5): what the answer says of every object that was sent. Pure.

Reasons are the statuses of a C-STORE, in words too, which the standard leaves to us.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bridge.errors import BridgeError
from bridge.imaging.dicomweb.matching import Json
from bridge.imaging.layout import InstanceNote
from bridge.imaging.statuses import status_of

_STATUS = {"storageFailed": 507, "tooMany": 503, "shuttingDown": 503}
"""Where nothing at all could be kept, and the sender should come back."""


@dataclass(slots=True)
class Failure:
    """One object that was not kept. `note` is what could be read of it."""

    code: str
    text: str
    note: InstanceNote | None = None
    reason: int = 0

    @classmethod
    def of(cls, error: BridgeError, note: InstanceNote | None) -> Failure:
        return cls(error.code, error.text, note, status_of(error))


@dataclass(slots=True)
class Stored:
    """What became of all objects of one request."""

    kept: list[InstanceNote] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    @property
    def status(self) -> int:
        """200 for all, 202 for some, and for none 409, or why it may be tried again."""
        if not self.failed:
            return 200
        if self.kept:
            return 202
        statuses = {_STATUS.get(failure.code, 409) for failure in self.failed}
        return statuses.pop() if len(statuses) == 1 else 409

    def told(self, base: str, study_uid: str = "") -> Json:
        """The answer's dataset (PS3.18 table 10.5.3-1 and I.2) in the JSON model."""
        studies = {note.study for note in self.kept} or {study_uid}
        told: Json = {}
        if len(studies) == 1 and (uid := studies.pop()):
            told["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{uid}"]}
        if self.kept:
            told["00081199"] = _sequence([_reference(note) | _url(note, base) for note in self.kept])
        known = [failure for failure in self.failed if failure.note is not None]
        others = [failure for failure in self.failed if failure.note is None]
        if known:
            told["00081198"] = _sequence(
                [_reference(failure.note) | _failure(failure) for failure in known if failure.note]
            )
        if others:
            told["0008119A"] = _sequence([_failure(failure) for failure in others])
        return dict(sorted(told.items()))


def _sequence(items: list[Json]) -> Json:
    return {"vr": "SQ", "Value": items}


def _reference(note: InstanceNote) -> Json:
    return {
        "00081150": {"vr": "UI", "Value": [note.sop_class]},
        "00081155": {"vr": "UI", "Value": [note.sop_instance]},
    }


def _url(note: InstanceNote, base: str) -> Json:
    where = f"{base}/studies/{note.study}/series/{note.series}/instances/{note.sop_instance}"
    return {"00081190": {"vr": "UR", "Value": [where]}}


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "00081197": {"vr": "US", "Value": [failure.reason]},
        # ErrorComment: a plain sentence, which holds nothing of the object.
        "00000902": {"vr": "LO", "Value": [failure.text]},
    }

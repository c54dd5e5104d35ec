"""What the audit can say: events, outcomes and entries, coded as DICOM PS3.15 A.5 and FHIR AuditEvent do.

An entry has only codes, opaque ids and numbers, so that nothing clinical and no name can get in. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,95}")
"""Opaque ids such as `recording/abc...` or `participant:abc...`. Free text has blanks or letters beyond these."""
_FIELD = re.compile(r"[a-z][A-Za-z0-9]{0,31}")
DETAIL_LIMIT = 16


class Event(StrEnum):
    """What happened."""

    APPLICATION_STARTED = "applicationStarted"
    APPLICATION_STOPPED = "applicationStopped"
    AUDIT_STARTED = "auditStarted"
    AUDIT_USED = "auditUsed"
    AUDIT_SALVAGED = "auditSalvaged"
    USER_LOGGED_IN = "userLoggedIn"
    USER_LOGGED_OUT = "userLoggedOut"
    OBJECT_CREATED = "objectCreated"
    OBJECT_CHANGED = "objectChanged"
    OBJECT_ACCESSED = "objectAccessed"
    OBJECT_TRANSFERRED = "objectTransferred"
    OBJECT_EXPORTED = "objectExported"
    OBJECT_IMPORTED = "objectImported"
    OBJECT_VERIFIED = "objectVerified"
    OBJECT_SHREDDED = "objectShredded"
    QUERIED = "queried"
    KEYS_ROTATED = "keysRotated"
    RECIPIENTS_CHANGED = "recipientsChanged"
    CONSENT_ANSWERED = "consentAnswered"
    SECURITY_ALERT = "securityAlert"


@dataclass(frozen=True, slots=True)
class Coding:
    """DICOM code of the event and of its sub-type (PS3.16 CID 400 and 401), FHIR action, entity life cycle (if any)."""

    code: str
    subtype: str | None
    action: str
    lifecycle: int | None


CODINGS: dict[Event, Coding] = {
    Event.APPLICATION_STARTED: Coding("110100", "110120", "E", None),
    Event.APPLICATION_STOPPED: Coding("110100", "110121", "E", None),
    Event.AUDIT_STARTED: Coding("110100", "110134", "E", None),
    Event.AUDIT_USED: Coding("110101", None, "R", None),
    Event.AUDIT_SALVAGED: Coding("110113", "110134", "E", None),
    Event.USER_LOGGED_IN: Coding("110114", "110122", "E", None),
    Event.USER_LOGGED_OUT: Coding("110114", "110123", "E", None),
    Event.OBJECT_CREATED: Coding("110111", None, "C", 1),
    Event.OBJECT_CHANGED: Coding("110111", None, "U", 3),
    Event.OBJECT_ACCESSED: Coding("110103", None, "R", 6),
    Event.OBJECT_TRANSFERRED: Coding("110104", None, "R", 11),
    Event.OBJECT_EXPORTED: Coding("110106", None, "R", 10),
    Event.OBJECT_IMPORTED: Coding("110107", None, "C", 2),
    Event.OBJECT_VERIFIED: Coding("110103", None, "R", 4),
    Event.OBJECT_SHREDDED: Coding("110105", None, "D", 15),
    Event.QUERIED: Coding("110112", None, "E", None),
    Event.KEYS_ROTATED: Coding("110113", "110135", "U", None),
    Event.RECIPIENTS_CHANGED: Coding("110113", "110129", "U", None),
    # Patient Record: what the person it is about decided, each answer a new one.
    Event.CONSENT_ANSWERED: Coding("110110", None, "C", 1),
    Event.SECURITY_ALERT: Coding("110113", None, "E", None),
}


class Outcome(IntEnum):
    """As FHIR's outcome codes; `BEGUN` announces what is written again when it is done."""

    DONE = 0
    BEGUN = 1
    REFUSED = 4
    FAILED = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be written down. Raises ValueError for anything that is no code, opaque id or number."""

    event: Event
    who: str
    """Opaque id of who did it: a participant, an invite, `system`, or `operator:UID` on the command line."""
    on: str | None = None
    """Opaque id of what it was done to."""
    outcome: Outcome = Outcome.DONE
    detail: Mapping[str, int | str] = field(default_factory=dict)
    """A few figures or opaque ids."""

    def __post_init__(self) -> None:
        ids = [self.who, *(() if self.on is None else (self.on,))]
        ids += [value for value in self.detail.values() if isinstance(value, str)]
        if not all(_ID.fullmatch(id) for id in ids):
            raise ValueError("the audit takes only opaque ids")
        if len(self.detail) > DETAIL_LIMIT or not all(map(_FIELD.fullmatch, self.detail)):
            raise ValueError("the audit takes only a few named details")

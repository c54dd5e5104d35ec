"""The tables as the code sees them, the records that come out of them, and turning the one into the other.

`bridge/migrations` makes the same tables step by step; a test holds both together. No connection and no query here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bridge.ids import (
    InviteId,
    PointId,
    RecordingId,
    RecordingState,
    RecordMode,
    Role,
    SessionFormat,
    SessionId,
    SessionKind,
    SessionState,
    new_id,
)

metadata = sa.MetaData()

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("format", sa.String(32), nullable=False),
    sa.Column("capacity", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("started_at_ms", sa.BigInteger),
    sa.Column("ended_at_ms", sa.BigInteger),
    sa.Column("stage", sa.JSON, nullable=False),
    sa.Column("record", sa.String(16), nullable=False, server_default="manual"),
    sa.Column("consent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("lobby", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("locked", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("sessions_by_creation", "created_at_ms"),
)
invites = sa.Table(
    "invites",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("point", sa.String(200), nullable=False),
    sa.Column("seats", sa.Integer, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.Boolean, nullable=False),
    sa.Index("invites_by_session", "session"),
)
points = sa.Table(
    "points",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("organisation", sa.String(200), nullable=False),
    sa.Column("province", sa.String(200), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
)
recordings = sa.Table(
    "recordings",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("started_at_ms", sa.BigInteger, nullable=False),
    sa.Column("duration_ms", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("hold", sa.Boolean, nullable=False),
    sa.Column("retain_until_ms", sa.BigInteger),
    sa.Column("clip_of", sa.String(32)),
    sa.Index("recordings_by_session", "session"),
    sa.Index("recordings_by_start", "started_at_ms"),
)
studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("uid_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("settled", sa.Boolean, nullable=False),
    sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("session", sa.String(32)),
    sa.Column("point", sa.String(200), nullable=False, server_default=""),
    sa.Column("hold", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("shredded_by", sa.String(96)),
    sa.Index("studies_by_change", "changed_at_ms"),
    sa.Index("studies_by_session", "session"),
)
study_jobs = sa.Table(
    "study_jobs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("study", sa.String(32), nullable=False),
    sa.Column("session", sa.String(32)),
    sa.Column("who", sa.String(96), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("text", sa.String(300), nullable=False),
    sa.Column("commitment", sa.String(16), nullable=False),
    sa.Column("transaction", sa.String(64), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("due_at_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    sa.Index("study_jobs_by_state", "state"),
    sa.Index("study_jobs_by_creation", "created_at_ms"),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("starts_at_ms", sa.BigInteger),
    sa.Column("points_uploaded_at_ms", sa.BigInteger),
    sa.Column("agenda_version", sa.Integer, nullable=False),
    sa.Column("agenda", sa.JSON, nullable=False),
    sa.Column("attendance_removed_at_ms", sa.BigInteger),
)
event_points = sa.Table(
    "event_points",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("province", sa.String(200), nullable=False),
    sa.Column("organisation", sa.String(200), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("contact", sa.LargeBinary, nullable=False),
    sa.Column("invite", sa.String(32), sa.ForeignKey("invites.id"), nullable=False),
    sa.Column("removed", sa.Boolean, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Index("event_points_by_session", "session"),
)
line_checks = sa.Table(
    "line_checks",
    metadata,
    sa.Column("invite", sa.String(32), sa.ForeignKey("invites.id"), primary_key=True),
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Index("line_checks_by_session", "session"),
)
attendance = sa.Table(
    "attendance",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("participant", sa.String(32), nullable=False),
    sa.Column("invite", sa.String(32), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("point", sa.String(200), nullable=False),
    sa.Column("name", sa.LargeBinary, nullable=False),
    sa.Column("joined_at_ms", sa.BigInteger, nullable=False),
    sa.Column("left_at_ms", sa.BigInteger),
    sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
    sa.Column("good_ms", sa.BigInteger, nullable=False),
    sa.Column("weak_ms", sa.BigInteger, nullable=False),
    sa.Column("bad_ms", sa.BigInteger, nullable=False),
    sa.Column("device", sa.Boolean, nullable=False),
    sa.Index("attendance_by_session", "session"),
)

session_memory = sa.Table(
    "session_memory",
    metadata,
    sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as stored.

    `stage` holds participant ids in the order they were given the floor. `consent`: everybody is asked before anything
    of them is recorded. `lobby`: who comes waits to be let in; `locked`: nobody new comes in.
    """

    id: SessionId
    title: str
    kind: SessionKind
    format: SessionFormat
    capacity: int
    state: SessionState
    created_at_ms: int
    started_at_ms: int | None
    stage: tuple[str, ...]
    record: RecordMode
    consent: bool
    lobby: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class RecordingRecord:
    """One recording as the store knows it; what it holds is in the vault. Duration and size are right once it is not
    running any more. `retain_until_ms` None is for ever; `hold` forbids shredding whatever it says."""

    id: RecordingId
    session: SessionId
    state: RecordingState
    started_at_ms: int
    duration_ms: int = 0
    size_bytes: int = 0
    hold: bool = False
    retain_until_ms: int | None = None
    clip_of: RecordingId | None = None


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """One study as the store knows it: nothing that names a patient is in the clear. `uid_hash` is a keyed hash of
    StudyInstanceUID. `settled`: what is sealed here tells all that the study holds; if not, it is made anew from it.
    `session` and `point`, the name of who sent it, are set by `assign_study` alone, `hold` and `shredded_by` in
    `bridge.studyrows`: a study with the latter is being shredded, or was while the server died."""

    id: str
    uid_hash: str
    sealed: bytes
    settled: bool
    changed_at_ms: int
    session: SessionId | None = None
    point: str = ""
    hold: bool = False
    shredded_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewInvite:
    """What is decided about an invite when it is made. `point` is a display name and may be empty."""

    role: Role
    point: str
    seats: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """The right to join, as stored."""

    id: InviteId
    session: SessionId
    role: Role
    point: str
    seats: int
    created_at_ms: int
    expires_at_ms: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class PointRecord:
    """A connection place of an organisation."""

    id: PointId
    name: str
    organisation: str
    province: str


@dataclass(frozen=True, slots=True)
class Closed:
    """What is over: sessions that ended and invites that were revoked."""

    sessions: frozenset[SessionId]
    invites: frozenset[InviteId]


def new_invite(session: SessionId, invite: NewInvite, at_ms: int) -> InviteRecord:
    return InviteRecord(
        InviteId(new_id()),
        session,
        invite.role,
        invite.point,
        invite.seats,
        at_ms,
        invite.expires_at_ms,
        revoked=False,
    )


def session_row(session: SessionRecord) -> dict[str, Any]:
    row = {name: getattr(session, name) for name in SessionRecord.__slots__}
    return row | {
        "kind": session.kind.value,
        "format": session.format.value,
        "state": session.state.value,
        "stage": list(session.stage),
        "record": session.record.value,
    }


def invite_row(invite: InviteRecord) -> dict[str, Any]:
    return {name: getattr(invite, name) for name in InviteRecord.__slots__} | {"role": invite.role.value}


def session_of(row: sa.RowMapping) -> SessionRecord:
    return SessionRecord(
        id=SessionId(row["id"]),
        title=row["title"],
        kind=SessionKind(row["kind"]),
        format=SessionFormat(row["format"]),
        capacity=row["capacity"],
        state=SessionState(row["state"]),
        created_at_ms=row["created_at_ms"],
        started_at_ms=row["started_at_ms"],
        stage=tuple(row["stage"]),
        record=RecordMode(row["record"]),
        consent=row["consent"],
        lobby=row["lobby"],
        locked=row["locked"],
    )


def recording_row(recording: RecordingRecord) -> dict[str, Any]:
    row = {name: getattr(recording, name) for name in RecordingRecord.__slots__}
    return row | {"state": recording.state.value}


def recording_of(row: sa.RowMapping) -> RecordingRecord:
    fields = {name: row[name] for name in RecordingRecord.__slots__}
    return RecordingRecord(**fields | {"state": RecordingState(row["state"])})


def study_of(row: sa.RowMapping) -> StudyRecord:
    return StudyRecord(**{name: row[name] for name in StudyRecord.__slots__})


def invite_of(row: sa.RowMapping) -> InviteRecord:
    return InviteRecord(**{name: row[name] for name in InviteRecord.__slots__} | {"role": Role(row["role"])})

"""The tables as the code sees them, the records that come out of them, and turning the one into the other.

`bridge/migrations` makes the same tables step by step; a test holds both together. No connection and no query here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bridge.ids import InviteId, PointId, Role, SessionFormat, SessionId, SessionKind, SessionState, new_id

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


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as stored. `stage` holds participant ids in the order they were given the floor."""

    id: SessionId
    title: str
    kind: SessionKind
    format: SessionFormat
    capacity: int
    state: SessionState
    created_at_ms: int
    started_at_ms: int | None
    stage: tuple[str, ...]


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
    )


def invite_of(row: sa.RowMapping) -> InviteRecord:
    return InviteRecord(**{name: row[name] for name in InviteRecord.__slots__} | {"role": Role(row["role"])})

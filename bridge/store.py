"""The tables and every query on them: sessions, invites, recordings, studies. SQLite by default, PostgreSQL by URL.

What a method here has returned from is durable: SQLite runs with write-ahead log and `synchronous=FULL`. Knows no
tokens, no sockets and no rules of the room; callers check who may ask.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bridge import tables
from bridge.config import ConfigError
from bridge.errors import Conflict, NotFound
from bridge.ids import InviteId as InviteId
from bridge.ids import ParticipantId as ParticipantId
from bridge.ids import PointId as PointId
from bridge.ids import RecordingId as RecordingId
from bridge.ids import RecordingState as RecordingState
from bridge.ids import RecordMode as RecordMode
from bridge.ids import Role as Role
from bridge.ids import SessionFormat as SessionFormat
from bridge.ids import SessionId as SessionId
from bridge.ids import SessionKind as SessionKind
from bridge.ids import SessionState as SessionState
from bridge.ids import new_id
from bridge.tables import Closed as Closed
from bridge.tables import InviteRecord as InviteRecord
from bridge.tables import NewInvite as NewInvite
from bridge.tables import PointRecord as PointRecord
from bridge.tables import RecordingRecord as RecordingRecord
from bridge.tables import SessionRecord as SessionRecord
from bridge.tables import StudyRecord as StudyRecord

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another one, such as the command line beside the server."""
CHECK_TIMEOUT_MS = 1_000
_SET_ELSEWHERE = ("session", "point", "hold", "shredded_by")
_AMONG: sa.BindParameter[Any] = sa.bindparam("sessions", expanding=True)
_CLOSED = sa.union_all(
    sa.select(tables.sessions.c.id, sa.null()).where(
        tables.sessions.c.id.in_(_AMONG), tables.sessions.c.state == SessionState.ENDED.value
    ),
    sa.select(sa.null(), tables.invites.c.id).where(
        tables.invites.c.session.in_(_AMONG), tables.invites.c.revoked.is_(sa.true())
    ),
)
"""Two columns: a session that ended, or an invite that was revoked. Asked for every few seconds, so made once."""


class Store:
    """All stored state of one installation. Open it with `Store.open`, which brings the tables up to date."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, url: str) -> Store:
        """Opens the database at an SQLAlchemy URL and migrates it. Raises ConfigError if that is impossible."""
        try:
            # The connection used last is the warm one, and has a thread that is: the others may sleep.
            engine = create_async_engine(url, pool_use_lifo=True)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise ConfigError(f"The database URL cannot be used: {type(error).__name__}.") from error
        store = cls(engine)
        try:
            if engine.dialect.name == "sqlite":
                await asyncio.to_thread(_prepare_sqlite, engine.url.database or "")
                _tune_sqlite(engine.sync_engine)
            async with store._write() as connection:
                await connection.run_sync(_migrate)
        except (sa.exc.DBAPIError, sqlite3.Error, CommandError, OSError) as error:
            await engine.dispose()
            reason = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise ConfigError(f"The database cannot be opened: {reason}.") from error
        except BaseException:
            await engine.dispose()
            raise
        return store

    async def close(self) -> None:
        """Closes all connections; may be repeated."""
        await self._engine.dispose()

    async def check_writable(self) -> None:
        """Takes the write lock and lets it go again. Raises the driver's error if disk, database or patience refuse."""
        async with self._engine.connect() as connection:
            await connection.execution_options(bridge_wait_ms=CHECK_TIMEOUT_MS)
            await connection.execute(sa.update(tables.sessions).where(sa.false()).values(title=""))

    # Sessions

    async def create_session(
        self,
        *,
        title: str,
        kind: SessionKind,
        format: SessionFormat,
        capacity: int,
        at_ms: int,
        invites: Sequence[NewInvite] = (),
        record: RecordMode = RecordMode.MANUAL,
        consent: bool = False,
    ) -> tuple[SessionRecord, list[InviteRecord]]:
        """Stores a new open session and its first invites, all or nothing."""
        session = SessionRecord(
            SessionId(new_id()),
            title,
            kind,
            format,
            capacity,
            SessionState.OPEN,
            at_ms,
            None,
            (),
            record,
            consent,
        )
        made = [tables.new_invite(session.id, invite, at_ms) for invite in invites]
        async with self._write() as connection:
            await connection.execute(sa.insert(tables.sessions).values(tables.session_row(session)))
            for invite in made:
                await connection.execute(sa.insert(tables.invites).values(tables.invite_row(invite)))
        return session, made

    async def get_session(self, session: SessionId) -> SessionRecord:
        """Raises NotFound."""
        async with self._read() as connection:
            row = (
                await connection.execute(sa.select(tables.sessions).where(tables.sessions.c.id == session))
            ).one_or_none()
        if row is None:
            raise NotFound("There is no such session.")
        return tables.session_of(row._mapping)

    async def get_sessions(self, sessions: Collection[SessionId]) -> dict[SessionId, SessionRecord]:
        """Those of them that there are; up to some hundreds at once."""
        query = sa.select(tables.sessions).where(tables.sessions.c.id.in_(sessions))
        async with self._read() as connection:
            found = [tables.session_of(row._mapping) for row in await connection.execute(query)]
        return {session.id: session for session in found}

    async def list_sessions(self, limit: int = 200) -> list[SessionRecord]:
        """Open sessions first, the newest first among equals."""
        query = (
            sa.select(tables.sessions)
            .order_by(
                sa.case((tables.sessions.c.state == SessionState.OPEN.value, 0), else_=1),
                tables.sessions.c.created_at_ms.desc(),
                tables.sessions.c.id,
            )
            .limit(limit)
        )
        async with self._read() as connection:
            return [tables.session_of(row._mapping) for row in await connection.execute(query)]

    async def save_stage(self, session: SessionId, participants: Sequence[str]) -> None:
        """Remembers who has the floor, for the next start. Raises NotFound."""
        await self._change_session(session, stage=list(participants))

    async def save_door(self, session: SessionId, *, lobby: bool | None, locked: bool | None) -> None:
        """Remembers whether people wait to be let in, and whether nobody new comes. None: as it was.

        Raises NotFound."""
        as_it_was = tables.sessions.c
        await self._change_session(
            session,
            lobby=as_it_was.lobby if lobby is None else lobby,
            locked=as_it_was.locked if locked is None else locked,
        )

    async def attended(self, session: SessionId) -> frozenset[ParticipantId]:
        """Who has been in an event, at any time."""
        rows = tables.attendance
        async with self._read() as connection:
            found = await connection.scalars(
                sa.select(rows.c.participant).where(rows.c.session == session).distinct()
            )
            return frozenset(ParticipantId(id) for id in found)

    async def starts_at_ms(self, session: SessionId) -> int | None:
        """When an event is planned to begin, if that was said."""
        events = tables.events.c
        async with self._read() as connection:
            at_ms = await connection.scalar(sa.select(events.starts_at_ms).where(events.session == session))
        return None if at_ms is None else int(at_ms)

    async def start_session(self, session: SessionId, at_ms: int) -> None:
        """Notes when the first participant came; later calls change nothing. Raises NotFound."""
        await self._change_session(
            session, started_at_ms=sa.func.coalesce(tables.sessions.c.started_at_ms, at_ms)
        )

    async def end_session(self, session: SessionId, at_ms: int) -> None:
        """Ends a session for good; ending it again changes nothing. What was kept for a restart is needed no more.

        Raises NotFound."""
        sessions, memory = tables.sessions, tables.session_memory
        ended = {
            "state": SessionState.ENDED.value,
            "ended_at_ms": sa.func.coalesce(sessions.c.ended_at_ms, at_ms),
        }
        # In one step: what was said in a session must not outlast it because the server died in between.
        async with self._write() as connection:
            result = await connection.execute(
                sa.update(sessions).where(sessions.c.id == session).values(ended)
            )
            if result.rowcount == 0:
                raise NotFound("There is no such session.")
            await connection.execute(sa.delete(memory).where(memory.c.session == session))

    # Invites

    async def create_invite(self, session: SessionId, invite: NewInvite, at_ms: int) -> InviteRecord:
        """Raises NotFound if there is no such session."""
        made = tables.new_invite(session, invite, at_ms)
        async with self._write() as connection:
            known = await connection.scalar(
                sa.select(tables.sessions.c.id).where(tables.sessions.c.id == session)
            )
            if known is None:
                raise NotFound("There is no such session.")
            await connection.execute(sa.insert(tables.invites).values(tables.invite_row(made)))
        return made

    async def get_invite(self, invite: InviteId) -> InviteRecord:
        """Raises NotFound."""
        async with self._read() as connection:
            row = (
                await connection.execute(sa.select(tables.invites).where(tables.invites.c.id == invite))
            ).one_or_none()
        if row is None:
            raise NotFound("There is no such invite.")
        return tables.invite_of(row._mapping)

    async def list_invites(self, session: SessionId) -> list[InviteRecord]:
        """All invites of a session in the order they were made."""
        query = (
            sa.select(tables.invites)
            .where(tables.invites.c.session == session)
            .order_by(tables.invites.c.created_at_ms, tables.invites.c.id)
        )
        async with self._read() as connection:
            return [tables.invite_of(row._mapping) for row in await connection.execute(query)]

    async def revoke_invite(self, invite: InviteId) -> None:
        """Takes the right to join away; doing it again changes nothing. Raises NotFound."""
        async with self._write() as connection:
            result = await connection.execute(
                sa.update(tables.invites).where(tables.invites.c.id == invite).values(revoked=True)
            )
            if result.rowcount == 0:
                raise NotFound("There is no such invite.")

    async def closed_among(self, sessions: Collection[SessionId]) -> Closed:
        """What ended or was revoked among these sessions, by whomever: the command line writes here too."""
        async with self._read() as connection:
            rows = (await connection.execute(_CLOSED, {"sessions": list(sessions)})).all()
        return Closed(
            frozenset(SessionId(session) for session, _ in rows if session is not None),
            frozenset(InviteId(invite) for _, invite in rows if invite is not None),
        )

    # Points

    async def create_point(self, name: str, organisation: str, province: str, at_ms: int) -> PointRecord:
        """Raises Conflict if the name is taken."""
        point = PointRecord(PointId(new_id()), name, organisation, province)
        row = {
            "id": point.id,
            "name": name,
            "organisation": organisation,
            "province": province,
            "created_at_ms": at_ms,
        }
        try:
            async with self._write() as connection:
                await connection.execute(sa.insert(tables.points).values(row))
        except sa.exc.IntegrityError as error:
            raise Conflict("There is already a point of this name.") from error
        return point

    async def list_points(self) -> list[PointRecord]:
        """All points by province, organisation and name."""
        query = sa.select(
            tables.points.c.id, tables.points.c.name, tables.points.c.organisation, tables.points.c.province
        ).order_by(tables.points.c.province, tables.points.c.organisation, tables.points.c.name)
        async with self._read() as connection:
            return [PointRecord(*row) for row in await connection.execute(query)]

    # Recordings

    async def add_recording(self, recording: RecordingRecord) -> None:
        """Stores a new one. Raises NotFound if there is no such session, Conflict if there is one of this id."""
        try:
            async with self._write() as connection:
                await connection.execute(sa.insert(tables.recordings).values(tables.recording_row(recording)))
        except sa.exc.IntegrityError as error:
            if "FOREIGN KEY" in str(error.orig).upper():
                raise NotFound("There is no such session.") from error
            raise Conflict("There is already a recording of this id.") from error

    async def get_recording(self, recording: RecordingId) -> RecordingRecord:
        """Raises NotFound."""
        query = sa.select(tables.recordings).where(tables.recordings.c.id == recording)
        async with self._read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound("There is no such recording.")
        return tables.recording_of(row._mapping)

    async def list_recordings(
        self,
        session: SessionId | None = None,
        state: RecordingState | None = None,
        limit: int | None = None,
    ) -> list[RecordingRecord]:
        """All, or those of a session or in a state; the newest first, at most `limit`."""
        query = (
            sa.select(tables.recordings)
            .order_by(tables.recordings.c.started_at_ms.desc(), tables.recordings.c.id)
            .limit(limit)
        )
        if session is not None:
            query = query.where(tables.recordings.c.session == session)
        if state is not None:
            query = query.where(tables.recordings.c.state == state.value)
        async with self._read() as connection:
            return [tables.recording_of(row._mapping) for row in await connection.execute(query)]

    async def recording_ids(self) -> set[RecordingId]:
        """All that there ever were."""
        async with self._read() as connection:
            return {RecordingId(id) for id in await connection.scalars(sa.select(tables.recordings.c.id))}

    async def close_recording(
        self,
        recording: RecordingId,
        state: RecordingState,
        *,
        duration_ms: int,
        size_bytes: int,
        retain_until_ms: int | None,
    ) -> None:
        """Notes that a recording is over, and what became of it. Raises NotFound."""
        await self._change_recording(
            recording,
            state=state.value,
            duration_ms=duration_ms,
            size_bytes=size_bytes,
            retain_until_ms=retain_until_ms,
        )

    async def hold_recording(self, recording: RecordingId, hold: bool) -> None:
        """Puts it under legal hold, or lets it go. Raises NotFound."""
        await self._change_recording(recording, hold=hold)

    async def recording_shredded(self, recording: RecordingId) -> None:
        """Notes that nobody can read it any more. Raises NotFound."""
        await self._change_recording(recording, state=RecordingState.SHREDDED.value, size_bytes=0)

    async def expired_recordings(self, at_ms: int) -> list[RecordingRecord]:
        """Those that are kept no longer: over, past their time and not held."""
        columns = tables.recordings.c
        query = sa.select(tables.recordings).where(
            columns.retain_until_ms <= at_ms,
            columns.hold.is_(sa.false()),
            columns.state.in_((RecordingState.ENDED.value, RecordingState.CUT.value)),
        )
        async with self._read() as connection:
            return [tables.recording_of(row._mapping) for row in await connection.execute(query)]

    # Studies

    async def save_study(self, study: StudyRecord) -> None:
        """Stores a new one, or what changed of one; whom it belongs to and its hold stay. Raises Conflict if its hash
        is another one's."""
        columns = tables.studies.c
        row = {name: getattr(study, name) for name in StudyRecord.__slots__ if name not in _SET_ELSEWHERE}
        try:
            async with self._write() as connection:
                changed = await connection.execute(
                    sa.update(tables.studies).where(columns.id == study.id).values(row)
                )
                if changed.rowcount == 0:
                    await connection.execute(sa.insert(tables.studies).values(row))
        except sa.exc.IntegrityError as error:
            raise Conflict("There is already an entry of this study.") from error

    async def find_study(self, uid_hash: str) -> StudyRecord | None:
        """By the keyed hash of its UID."""
        query = sa.select(tables.studies).where(tables.studies.c.uid_hash == uid_hash)
        async with self._read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return tables.study_of(row._mapping) if row is not None else None

    async def list_studies(self, since_ms: int = 0) -> list[StudyRecord]:
        """All, or those that changed at this time or later; the latest change last."""
        columns = tables.studies.c
        query = (
            sa.select(tables.studies)
            .where(columns.changed_at_ms >= since_ms)
            .order_by(columns.changed_at_ms, columns.id)
        )
        async with self._read() as connection:
            return [tables.study_of(row._mapping) for row in await connection.execute(query)]

    async def assign_study(self, study: str, session: SessionId | None, point: str) -> None:
        """Notes for which session a study is and which point sent it. Raises NotFound."""
        async with self._write() as connection:
            result = await connection.execute(
                sa.update(tables.studies)
                .where(tables.studies.c.id == study)
                .values(session=session, point=point)
            )
            if result.rowcount == 0:
                raise NotFound("There is no such study.")

    async def open_sessions_at(self, point: str, now_ms: int) -> list[SessionId]:
        """Sessions that go on and to which this point is invited."""
        sessions, invites = tables.sessions.c, tables.invites.c
        query = (
            sa.select(sessions.id)
            .distinct()
            .join(tables.invites, invites.session == sessions.id)
            .where(
                sessions.state == SessionState.OPEN.value,
                invites.point == point,
                invites.expires_at_ms > now_ms,
                sa.not_(invites.revoked),
            )
        )
        async with self._read() as connection:
            return [SessionId(row[0]) for row in await connection.execute(query)]

    async def remove_study(self, study: str) -> None:
        """Forgets one that was shredded; repeating it is no error."""
        async with self._write() as connection:
            await connection.execute(sa.delete(tables.studies).where(tables.studies.c.id == study))

    # Connections

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """For queries that have a module of their own; each sees what is there when it begins."""
        async with self._read() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """The same for changes, all or nothing."""
        async with self._write() as connection:
            yield connection

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection:
            await connection.execution_options(bridge_reads=True)
            yield connection

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.begin() as connection:
            yield connection

    async def _change_session(self, session: SessionId, **values: Any) -> None:
        async with self._write() as connection:
            result = await connection.execute(
                sa.update(tables.sessions).where(tables.sessions.c.id == session).values(values)
            )
            if result.rowcount == 0:
                raise NotFound("There is no such session.")

    async def _change_recording(self, recording: RecordingId, **values: Any) -> None:
        async with self._write() as connection:
            result = await connection.execute(
                sa.update(tables.recordings).where(tables.recordings.c.id == recording).values(values)
            )
            if result.rowcount == 0:
                raise NotFound("There is no such recording.")


def sqlite_url(path: Path) -> str:
    """The URL of the embedded database in this file."""
    return sa.URL.create("sqlite+aiosqlite", database=str(path)).render_as_string(hide_password=False)


def _prepare_sqlite(path: str) -> None:
    """Switches a database to its write-ahead log, which stays with the file.

    SQLite does not wait for others when it switches, so two processes that start together have to try again.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _tune_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver shall begin nothing on its own, so that table changes are in transactions too.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        wait_ms = options.get("bridge_wait_ms", BUSY_TIMEOUT_MS)
        # Every statement goes to the connection's thread and back: what holds already is not said again.
        if connection.info.get("wait_ms") != wait_ms:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait_ms:d}")
            connection.info["wait_ms"] = wait_ms
        # A writer takes the lock at once: one that upgrades later can only fail, not wait. A reader needs no
        # transaction: each query sees what was there when it began, as with PostgreSQL.
        if not options.get("bridge_reads"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: sa.Connection) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

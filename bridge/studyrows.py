"""Queries on the keeping of studies and on the long work on them: held, past their time, being shredded; jobs.

Beside `bridge.store`, whose connections it uses. What a method returned from is durable. No rules and no rights.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from bridge import tables
from bridge.errors import Conflict, NotFound
from bridge.ids import SessionId, SessionKind, SessionState, new_id
from bridge.store import Store
from bridge.tables import StudyRecord


class JobKind(StrEnum):
    """What is done with a study."""

    SEND = "send"
    SHRED = "shred"
    COPY = "copy"
    """A de-identified one is made."""


class JobState(StrEnum):
    """`waiting` for its turn, or after a failure that may pass; `confirming`: sent, and the other side has
    yet to say that it keeps it."""

    WAITING = "waiting"
    RUNNING = "running"
    CONFIRMING = "confirming"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


_AT_ONCE = 500
"""Values in one query."""
OVER = frozenset((JobState.DONE, JobState.FAILED, JobState.STOPPED))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job as stored; nothing in it names a patient. `done`, `failed` and `total` count objects. `commitment` is
    empty or `asked`, `confirmed`, `refused`, `silent`; `transaction` is the UID under which it was asked for."""

    id: str
    kind: JobKind
    study: str
    session: SessionId | None
    who: str
    destination: str
    options: dict[str, Any]
    state: JobState
    done: int = 0
    failed: int = 0
    total: int = 0
    attempts: int = 0
    code: str = ""
    text: str = ""
    commitment: str = ""
    transaction: str = ""
    created_at_ms: int = 0
    due_at_ms: int = 0
    changed_at_ms: int = 0


class StudyRows:
    """For one event loop, as the store is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- keeping -------------------------------------------------------------------------------------------------

    async def get(self, study: str) -> StudyRecord:
        """Raises NotFound."""
        query = sa.select(tables.studies).where(tables.studies.c.id == study)
        async with self._store.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound("There is no such study.")
        return tables.study_of(row._mapping)

    async def get_all(self, studies: Collection[str]) -> list[StudyRecord]:
        """Those of them that there are."""
        ids, found = list(studies), []
        async with self._store.reading() as connection:
            for first in range(0, len(ids), _AT_ONCE):
                some = tables.studies.c.id.in_(ids[first : first + _AT_ONCE])
                rows = await connection.execute(sa.select(tables.studies).where(some))
                found += [tables.study_of(row._mapping) for row in rows]
        return found

    async def hold(self, study: str, hold: bool) -> None:
        """Puts it under legal hold, or lets it go. Raises NotFound, also while it is shredded."""
        columns = tables.studies.c
        where = sa.and_(columns.id == study, columns.shredded_by.is_(None))
        async with self._store.writing() as connection:
            result = await connection.execute(sa.update(tables.studies).where(where).values(hold=hold))
            if result.rowcount == 0:
                raise NotFound("There is no such study.")

    async def begin_shredding(self, study: str, who: str) -> None:
        """From here on it cannot be held any more. Raises NotFound, Conflict if it is held."""
        columns = tables.studies.c
        where = sa.and_(columns.id == study, columns.hold.is_(sa.false()))
        async with self._store.writing() as connection:
            known = await connection.scalar(sa.select(columns.id).where(columns.id == study))
            if known is None:
                raise NotFound("There is no such study.")
            result = await connection.execute(sa.update(tables.studies).where(where).values(shredded_by=who))
            if result.rowcount == 0:
                raise Conflict("This study is held: it must not be shredded.")

    async def keep_after_all(self, study: str) -> None:
        """Of one whose shredding was refused before anything was lost."""
        query = sa.update(tables.studies).where(tables.studies.c.id == study).values(shredded_by=None)
        async with self._store.writing() as connection:
            await connection.execute(query)

    async def half_shredded(self) -> list[StudyRecord]:
        """Those whose shredding has begun and not ended."""
        query = sa.select(tables.studies).where(tables.studies.c.shredded_by.is_not(None))
        async with self._store.reading() as connection:
            return [tables.study_of(row._mapping) for row in await connection.execute(query)]

    async def expired(self, kind: SessionKind, before_ms: int, limit: int) -> list[str]:
        """Studies of sessions of this kind that ended before, with nothing added since, that are not held."""
        studies, sessions = tables.studies.c, tables.sessions.c
        query = (
            sa.select(studies.id)
            .join(tables.sessions, sessions.id == studies.session)
            .where(
                sessions.kind == kind.value,
                sessions.state == SessionState.ENDED.value,
                sessions.ended_at_ms <= before_ms,
                studies.changed_at_ms <= before_ms,
                studies.hold.is_(sa.false()),
            )
            .order_by(studies.changed_at_ms)
            .limit(limit)
        )
        async with self._store.reading() as connection:
            return [str(row[0]) for row in await connection.execute(query)]

    async def ended(self, sessions: Collection[SessionId]) -> dict[SessionId, tuple[SessionKind, int | None]]:
        """Kind of each, and when it ended."""
        columns = tables.sessions.c
        query = sa.select(columns.id, columns.kind, columns.ended_at_ms).where(columns.id.in_(sessions))
        async with self._store.reading() as connection:
            rows = await connection.execute(query)
            return {SessionId(row[0]): (SessionKind(row[1]), row[2]) for row in rows}

    # --- jobs ----------------------------------------------------------------------------------------------------

    async def add_job(
        self,
        kind: JobKind,
        study: str,
        who: str,
        *,
        now_ms: int,
        session: SessionId | None = None,
        destination: str = "",
        options: dict[str, Any] | None = None,
        numbered: bool = False,
    ) -> JobRecord:
        """A new one, to be done soon. `numbered`: its option `number` is one more than that of any job of its kind."""
        said = dict(options or {})
        columns = tables.study_jobs.c
        async with self._store.writing() as connection:
            if numbered:
                query = sa.select(columns.options).where(columns.kind == kind.value)
                numbers = [int(row[0].get("number", 0)) for row in await connection.execute(query)]
                said["number"] = max(numbers, default=0) + 1
            job = JobRecord(
                id=new_id(),
                kind=kind,
                study=study,
                session=session,
                who=who,
                destination=destination,
                options=said,
                state=JobState.WAITING,
                created_at_ms=now_ms,
                due_at_ms=now_ms,
                changed_at_ms=now_ms,
            )
            await connection.execute(sa.insert(tables.study_jobs).values(_job_row(job)))
        return job

    async def get_job(self, job: str) -> JobRecord:
        """Raises NotFound."""
        query = sa.select(tables.study_jobs).where(tables.study_jobs.c.id == job)
        async with self._store.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound("There is no such job.")
        return _job_of(row._mapping)

    async def list_jobs(
        self,
        *,
        session: SessionId | None = None,
        kinds: Collection[JobKind] = (),
        states: Collection[JobState] = (),
        transaction: str = "",
        limit: int = 200,
    ) -> list[JobRecord]:
        """The newest first: of a session, of these kinds, in these states, or asked for under this transaction UID."""
        columns = tables.study_jobs.c
        query = sa.select(tables.study_jobs).order_by(columns.created_at_ms.desc(), columns.id).limit(limit)
        if session is not None:
            query = query.where(columns.session == session)
        if kinds:
            query = query.where(columns.kind.in_([kind.value for kind in kinds]))
        if states:
            query = query.where(columns.state.in_([state.value for state in states]))
        if transaction:
            query = query.where(columns.transaction == transaction)
        async with self._store.reading() as connection:
            return [_job_of(row._mapping) for row in await connection.execute(query)]

    async def change_job(self, job: str, now_ms: int, only: Collection[JobState] = (), **values: Any) -> bool:
        """False if it is in none of the states `only`, which are all if none are said."""
        columns = tables.study_jobs.c
        where = columns.id == job
        if only:
            where = sa.and_(where, columns.state.in_([state.value for state in only]))
        query = sa.update(tables.study_jobs).where(where).values(changed_at_ms=now_ms, **values)
        async with self._store.writing() as connection:
            return bool((await connection.execute(query)).rowcount)

    async def resume_jobs(self, now_ms: int, but: Collection[str] = ()) -> None:
        """After a start: what a server that died was doing is to be done again, `but` not what is being done."""
        columns = tables.study_jobs.c
        query = (
            sa.update(tables.study_jobs)
            .where(columns.state == JobState.RUNNING.value, columns.id.not_in(but))
            .values(state=JobState.WAITING.value, due_at_ms=now_ms)
        )
        async with self._store.writing() as connection:
            await connection.execute(query)


def _job_row(job: JobRecord) -> dict[str, Any]:
    row = {name: getattr(job, name) for name in JobRecord.__slots__}
    return row | {"kind": job.kind.value, "state": job.state.value}


def _job_of(row: sa.RowMapping) -> JobRecord:
    fields = {name: row[name] for name in JobRecord.__slots__}
    return JobRecord(**fields | {"kind": JobKind(row["kind"]), "state": JobState(row["state"])})

"""The keeping of studies over HTTP (`docs/protocol.md`): who asks, what is asked, what is answered. Small handlers.

Studies come in and are read through DICOMweb; here they are listed as they are kept, held, shredded and sent on. All of
it passes `Access`; errors are raised, and `bridge.guard` puts them on the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from bridge.auth import Role
from bridge.errors import NotAuthorised, NotFound
from bridge.exchange import bearer, json_answer, read_body
from bridge.imaging.access import Access, Visitor
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.keeping import Retention
from bridge.imaging.teaching.making import Options
from bridge.imaging.upkeep import Upkeep
from bridge.studyrows import JobKind, JobRecord

_STUDY = "/api/studies/{study:[a-z0-9.]{1,64}}"
_JOB = "/api/study-jobs/{job:[a-z0-9]{1,32}}"
LIST_LIMIT = 500
_SENDERS = frozenset((Role.HUB,))
"""Who may send on what came to their session, besides the staff; of jobs they see and stop no others."""


class _Hold(Struct):
    hold: bool


class _Send(Struct):
    to: Annotated[str, Meta(max_length=64)]


class Studies:
    """The handlers; `add_routes` is the table."""

    def __init__(self, archive: Archive, access: Access, upkeep: Upkeep) -> None:
        self._catalogue = archive.catalogue
        self._access = access
        self._upkeep = upkeep

    def add_routes(self, app: web.Application) -> None:
        table: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
            ("GET", "/api/studies", self.list_studies),
            ("GET", _STUDY, self.get_study),
            ("DELETE", _STUDY, self.shred),
            ("POST", f"{_STUDY}/hold", self.hold),
            ("POST", f"{_STUDY}/send", self.send),
            ("POST", f"{_STUDY}/deidentify", self.deidentify),
            ("GET", "/api/destinations", self.list_destinations),
            ("GET", "/api/study-jobs", self.list_jobs),
            ("GET", _JOB, self.get_job),
            ("POST", f"{_JOB}/stop", self.stop_job),
            ("POST", f"{_JOB}/retry", self.retry_job),
        )
        for method, path, handler in table:
            app.router.add_route(method, path, handler)

    async def list_studies(self, request: web.Request) -> web.Response:
        visitor = await self._staff(request)
        await self._access.note_query(visitor)
        entries = self._access.visible(visitor)[:LIST_LIMIT]
        return json_answer({"studies": await shown(entries, self._upkeep)})

    async def get_study(self, request: web.Request) -> web.Response:
        visitor = await self._staff(request)
        entry = await self._own(visitor, request)
        return json_answer({"study": (await shown([entry], self._upkeep))[0]})

    async def hold(self, request: web.Request) -> web.Response:
        visitor = await self._staff(request)
        wish = await read_body(request, _Hold)
        entry = self._entry(request)
        await self._upkeep.keeping.hold(entry.id, visitor.who, wish.hold)
        return web.Response(status=204)

    async def shred(self, request: web.Request) -> web.Response:
        visitor = await self._staff(request)
        entry = self._entry(request)
        await self._upkeep.keeping.shred(entry.id, visitor.who)
        return web.Response(status=204)

    # --- sending on ------------------------------------------------------------------------------------------------

    async def list_destinations(self, request: web.Request) -> web.Response:
        await self._sender(request)
        return json_answer({"destinations": self._upkeep.destinations.names()})

    async def send(self, request: web.Request) -> web.Response:
        visitor = await self._sender(request)
        wish = await read_body(request, _Send)
        entry = await self._own(visitor, request)
        self._upkeep.destinations.find(wish.to)
        session = self._catalogue.belonging(entry.id).session
        job = await self._upkeep.start(
            JobKind.SEND, entry.id, visitor.who, session=session, destination=wish.to
        )
        return json_answer({"job": self._told(job)}, 202)

    async def deidentify(self, request: web.Request) -> web.Response:
        visitor = await self._staff(request)
        wish = await read_body(request, Options)
        wish.check()
        entry = await self._own(visitor, request)
        session = self._catalogue.belonging(entry.id).session
        options = msgspec.to_builtins(wish)
        job = await self._upkeep.start(JobKind.COPY, entry.id, visitor.who, session=session, options=options)
        return json_answer({"job": self._told(job)}, 202)

    async def list_jobs(self, request: web.Request) -> web.Response:
        visitor = await self._sender(request)
        kinds = () if visitor.is_staff else (JobKind.SEND,)
        jobs = await self._upkeep.rows.list_jobs(session=visitor.session, kinds=kinds)
        return json_answer({"jobs": [self._told(job) for job in jobs]})

    async def get_job(self, request: web.Request) -> web.Response:
        visitor = await self._sender(request)
        return json_answer({"job": self._told(await self._job(visitor, request))})

    async def stop_job(self, request: web.Request) -> web.Response:
        visitor = await self._sender(request)
        job = await self._job(visitor, request)
        return json_answer({"job": self._told(await self._upkeep.stop(job.id, visitor.who))})

    async def retry_job(self, request: web.Request) -> web.Response:
        visitor = await self._sender(request)
        job = await self._job(visitor, request)
        return json_answer({"job": self._told(await self._upkeep.retry(job.id, visitor.who))}, 202)

    # --- who and what ----------------------------------------------------------------------------------------------

    async def _staff(self, request: web.Request) -> Visitor:
        visitor = await self._access.visitor(bearer(request))
        if not visitor.is_staff:
            raise await self._refused(visitor)
        return visitor

    async def _refused(self, visitor: Visitor) -> NotAuthorised:
        await self._access.note_refusal(visitor)
        return NotAuthorised("This link may not do that with studies.", "notAllowed")

    async def _sender(self, request: web.Request) -> Visitor:
        visitor = await self._access.visitor(bearer(request))
        if not visitor.is_staff and visitor.role not in _SENDERS:
            raise await self._refused(visitor)
        return visitor

    async def _own(self, visitor: Visitor, request: web.Request) -> StudyEntry:
        """Raises NotFound if it is not there for this one."""
        entry = self._entry(request)
        return await self._access.study(visitor, entry.uid)

    async def _job(self, visitor: Visitor, request: web.Request) -> JobRecord:
        """Raises NotFound, also for another session's, and for what only the staff may have done."""
        job = await self._upkeep.rows.get_job(request.match_info["job"])
        if not visitor.is_staff and (job.session != visitor.session or job.kind is not JobKind.SEND):
            await self._access.note_refusal(visitor, f"study/{job.study}")
            raise NotFound("There is no such job.")
        return job

    def _told(self, job: JobRecord) -> dict[str, Any]:
        told = job_shown(self._upkeep.jobs.shown(job))
        copy = told["copy"]
        return told | {
            "studyInstanceUID": self._uid(job.study),
            "copyInstanceUID": self._uid(copy) if copy is not None else None,
        }

    def _uid(self, study: str) -> str | None:
        """None once it was shredded."""
        try:
            return self._catalogue.get(study).uid
        except NotFound:
            return None

    def _entry(self, request: web.Request) -> StudyEntry:
        """By our own id or by StudyInstanceUID. Raises NotFound."""
        named = request.match_info["study"]
        known = self._catalogue.known(named)
        entry = known if known is not None else self._catalogue.get(named)
        if not entry.instances:
            raise NotFound("There is no such study.")
        return entry


def job_shown(job: JobRecord) -> dict[str, Any]:
    """A job as it is told."""
    return {
        "id": job.id,
        "kind": job.kind.value,
        "study": job.study,
        "to": job.destination,
        "copy": job.options.get("copy"),
        "state": job.state.value,
        "done": job.done,
        "failed": job.failed,
        "total": job.total,
        "attempts": job.attempts,
        "error": {"code": job.code, "text": job.text} if job.code else None,
        "remark": job.text if not job.code else "",
        "commitment": job.commitment,
        "createdAt": job.created_at_ms,
        "changedAt": job.changed_at_ms,
        "dueAt": job.due_at_ms,
    }


async def shown(entries: list[StudyEntry], upkeep: Upkeep) -> list[dict[str, Any]]:
    """Studies as they are kept, without what names a patient."""
    rows = {row.id: row for row in await upkeep.rows.get_all([entry.id for entry in entries])}
    kept = await upkeep.keeping.retention(rows.values())
    return [
        {
            "id": entry.id,
            "studyInstanceUID": entry.uid,
            "session": rows[entry.id].session,
            "point": rows[entry.id].point,
            "modalities": list(entry.modalities),
            "series": entry.series,
            "instances": entry.instances,
            "sizeBytes": entry.size_bytes,
            "firstAt": entry.first_at_ms,
            "lastAt": entry.last_at_ms,
            "hold": rows[entry.id].hold,
            "retainUntil": kept[entry.id].until_ms,
            "rule": _rule(kept[entry.id]),
        }
        for entry in entries
        if entry.id in rows
    ]


def _rule(retention: Retention) -> dict[str, Any] | None:
    if retention.kind is None:
        return None
    return {"kind": retention.kind.value, "days": retention.days}

"""The keeping of studies over HTTP (`docs/protocol.md`): who asks, what is asked, what is answered. Small handlers.

Studies are read and sent through DICOMweb; here they are listed as they are kept, held and shredded. Everything passes
`Access`; errors are raised, and `bridge.guard` puts them on the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from msgspec import Struct

from bridge.errors import NotAuthorised, NotFound
from bridge.exchange import bearer, json_answer, read_body
from bridge.imaging.access import Access, Visitor
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.upkeep import Upkeep

_STUDY = "/api/studies/{study:[a-z0-9.]{1,64}}"
LIST_LIMIT = 500


class _Hold(Struct):
    hold: bool


class Studies:
    """The handlers; `add_routes` is the table."""

    def __init__(self, archive: Archive, access: Access, upkeep: Upkeep) -> None:
        self._catalogue = archive.catalogue
        self._access = access
        self._upkeep = upkeep

    def add_routes(self, app: web.Application) -> None:
        table: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
            ("GET", "/api/studies", self.list_studies),
            ("DELETE", _STUDY, self.shred),
            ("POST", f"{_STUDY}/hold", self.hold),
        )
        for method, path, handler in table:
            app.router.add_route(method, path, handler)

    async def list_studies(self, request: web.Request) -> web.Response:
        visitor = await self._staff(request)
        await self._access.note_query(visitor)
        entries = self._access.visible(visitor)[:LIST_LIMIT]
        return json_answer({"studies": await shown(entries, self._upkeep)})

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

    # --- who and what ----------------------------------------------------------------------------------------------

    async def _staff(self, request: web.Request) -> Visitor:
        visitor = await self._access.visitor(bearer(request))
        if not visitor.is_staff:
            raise await self._refused(visitor)
        return visitor

    async def _refused(self, visitor: Visitor) -> NotAuthorised:
        await self._access.note_refusal(visitor)
        return NotAuthorised("This link may not do that with studies.", "notAllowed")

    def _entry(self, request: web.Request) -> StudyEntry:
        """By our own id or by StudyInstanceUID. Raises NotFound."""
        named = request.match_info["study"]
        known = self._catalogue.known(named)
        entry = known if known is not None else self._catalogue.get(named)
        if not entry.instances:
            raise NotFound("There is no such study.")
        return entry


async def shown(entries: list[StudyEntry], upkeep: Upkeep) -> list[dict[str, Any]]:
    """Studies as they are kept, without what names a patient."""
    rows = {row.id: row for row in await upkeep.rows.get_all([entry.id for entry in entries])}
    until = await upkeep.keeping.retained_until(rows.values())
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
            "retainUntil": until[entry.id],
        }
        for entry in entries
        if entry.id in rows
    ]

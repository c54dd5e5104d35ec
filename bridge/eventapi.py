"""Events over HTTP (`docs/protocol.md`): the wall, the points and the run of show. A table of small handlers.

Who may is asked of `launch.access`, which has the audit written before names or links are shown. Errors are raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from bridge import policy
from bridge.audit import Event
from bridge.auth import Auth, Grant
from bridge.desk import Desk
from bridge.errors import Conflict, NotAuthorised, ProtocolError
from bridge.exchange import (
    bearer,
    encode,
    encoded_answer,
    file_answer,
    flag,
    json_answer,
    read_body,
    read_bytes,
    whole_number,
)
from bridge.guard import Clients
from bridge.ids import InviteId, SessionId
from bridge.launch import agenda
from bridge.launch.access import Admitted, EventAccess
from bridge.launch.book import EventBook, EventPoint
from bridge.launch.links import link_table
from bridge.launch.points import SHEET_LIMIT_BYTES, PointFields, Problem, Sheet, fields_of, read_sheet
from bridge.launch.sheets import CSV_TYPE, csv_of, language_named
from bridge.launch.views import import_view, point_view, preview_view
from bridge.store import NewInvite
from bridge.wall import Wall

ID = "[a-z0-9]{1,32}"
EVENT = f"/api/events/{{session:{ID}}}"
_POINT = f"{EVENT}/points/{{point:{ID}}}"
LATEST_MS = 2**42
"""The year 2109."""

_Text = Annotated[str, Meta(max_length=1000)]
_Handler = Callable[[web.Request], Awaitable[web.Response]]


class Live(Protocol):
    """What rooms know of events with somebody in them."""

    def invites_connected(self, session: SessionId) -> frozenset[InviteId]:
        """Those on which somebody is connected."""

    async def revoke_invite(self, session: SessionId, invite: InviteId) -> None:
        """Withdraws it in the store and disconnects whoever came on it. Raises NotFound."""


class _Start(Struct, rename="camel"):
    starts_at: Annotated[int, Meta(ge=0, le=LATEST_MS)] | None


class _PointWish(Struct, rename="camel"):
    province: _Text | UnsetType = UNSET
    organisation: _Text | UnsetType = UNSET
    name: _Text | UnsetType = UNSET
    contact: _Text | UnsetType = UNSET

    def over(self, known: PointFields) -> PointFields:
        """What is said, and what is known where nothing is."""
        said = (self.province, self.organisation, self.name, self.contact)
        was = (known.province, known.organisation, known.name, known.contact)
        return fields_of(*(old if new is UNSET else new for new, old in zip(said, was, strict=True)))


class _Agenda(Struct, rename="camel"):
    version: Annotated[int, Meta(ge=0, le=2**31)]
    items: Annotated[list[agenda.Item], Meta(max_length=agenda.ITEMS_LIMIT)]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers ask."""

    auth: Auth
    access: EventAccess
    book: EventBook
    desk: Desk
    live: Live
    wall: Wall
    clients: Clients
    now_ms: Callable[[], int]
    agenda_changed: Callable[[SessionId, int], None]


class EventApi:
    """The handlers; `add_routes` is the table."""

    def __init__(self, parts: Parts) -> None:
        self._auth = parts.auth
        self._access = parts.access
        self._book = parts.book
        self._desk = parts.desk
        self._live = parts.live
        self._wall = parts.wall
        self._clients = parts.clients
        self._now_ms = parts.now_ms
        self._agenda_changed = parts.agenda_changed

    def add_routes(self, app: web.Application) -> None:
        table: tuple[tuple[str, str, _Handler], ...] = (
            ("GET", "/api/wall", self.get_wall),
            ("GET", EVENT, self.get_event),
            ("PATCH", EVENT, self.set_start),
            ("PUT", f"{EVENT}/points", self.import_points),
            ("POST", f"{EVENT}/points", self.add_point),
            ("GET", f"{EVENT}/points.csv", self.get_links),
            ("PATCH", _POINT, self.change_point),
            ("DELETE", _POINT, self.remove_point),
            ("POST", f"{_POINT}/restore", self.restore_point),
            ("GET", f"{_POINT}/link", self.get_link),
            ("POST", f"{_POINT}/link", self.renew_link),
            ("PUT", f"{EVENT}/agenda", self.set_agenda),
            ("GET", f"{EVENT}/checks", self.get_checks),
        )
        for method, path, handler in table:
            app.router.add_route(method, path, handler)

    async def get_wall(self, request: web.Request) -> web.Response:
        grant = await self._moderating(request)
        number, stills = self._wall.look(grant.session, whole_number(request, "after", 0))
        pictures = [
            {"participant": one.participant, "takenAt": one.taken_at_ms, "jpeg": one.jpeg} for one in stills
        ]
        levels = self._wall.levels(grant.session)
        return json_answer({"after": number, "pictures": pictures, "levels": levels})

    # The event

    async def get_event(self, request: web.Request) -> web.Response:
        session, links = session_of(request), flag(request, "links")
        may = self._access.manages if links else self._access.reads
        by = await may(bearer(request), session)
        event, points = await self._book.event(session), await self._book.points(session)
        checks = await self._book.checks(session)
        if links:
            await self._access.note(Event.OBJECT_EXPORTED, by, rows=len(points))
        else:
            await self._access.look(by, "contacts")
        shown = self._shower(request, session, checks, links=links)
        return await _long_answer(
            lambda: {
                "session": session,
                "title": by.session.title,
                "state": by.session.state,
                "startsAt": event.starts_at_ms,
                "points": [shown(point) for point in points],
                "agenda": {"version": event.agenda_version, "items": event.agenda},
                "pointsUploadedAt": event.points_uploaded_at_ms,
            }
        )

    async def set_start(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        body = await read_body(request, _Start)
        until_ms = 0 if body.starts_at is None else self._desk.good_until_ms(body.starts_at)
        made_for_ms = self._desk.usual_expiry_ms()
        await self._book.set_start(by.session.id, body.starts_at, until_ms, made_for_ms)
        return web.Response(status=204)

    async def set_agenda(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        body = await read_body(request, _Agenda)
        session = by.session.id
        points = {point.id for point in await self._book.points(session)}
        before = await self._book.event(session)
        # A point that was taken away since stays where it stands.
        points |= {item.point for item in before.agenda if item.point is not None}
        version = await self._book.set_agenda(session, body.version, agenda.checked(body.items, points))
        self._agenda_changed(session, version)
        return json_answer({"version": version})

    async def get_checks(self, request: web.Request) -> web.Response:
        session = session_of(request)
        await self._access.reads(bearer(request), session)
        checks = await self._book.checks(session)
        points = await self._book.points(session)
        return await _long_answer(
            lambda: {
                "points": [{"point": point.id, "check": checks.get(point.invite.id)} for point in points]
            }
        )

    # Points

    async def import_points(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        if request.content_type != "text/csv":
            raise ProtocolError("The body must be text/csv.", "wrongType")
        charset = request.query.get("charset") or request.charset
        preview, remove = flag(request, "preview"), flag(request, "remove")
        data = await read_bytes(request, SHEET_LIMIT_BYTES)
        sheet = await asyncio.to_thread(read_sheet, data, charset)
        removes = remove and not sheet.problems
        if remove and sheet.problems:
            sheet = Sheet(sheet.rows, (*sheet.problems, Problem(0, "nothingRemoved")))
        session = by.session.id
        if preview:
            done = await self._book.preview(session, sheet)
            return json_answer(import_view(done, sheet, removes) | preview_view(done, removes))
        make = await self._make_invite(session)
        done = await self._book.import_points(session, sheet, make, self._now_ms(), remove=removes)
        await self._access.note(Event.OBJECT_IMPORTED, by, rows=len(sheet.rows))
        await self._disconnect(session, done.gone if removes else ())
        return json_answer(import_view(done, sheet, removes))

    async def add_point(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        body = await read_body(request, _PointWish)
        fields = body.over(PointFields("", "", "", ""))
        make = await self._make_invite(by.session.id)
        point = await self._book.add_point(by.session.id, fields, make, self._now_ms())
        return await self._with_link(request, by, point, 201)

    async def change_point(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        body = await read_body(request, _PointWish)
        session, id = by.session.id, request.match_info["point"]
        point = await self._book.change_point(session, id, body.over)
        checks = await self._book.checks(session)
        return json_answer(self._shower(request, session, checks)(point))

    async def remove_point(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        invite = await self._book.remove_point(by.session.id, request.match_info["point"])
        await self._live.revoke_invite(by.session.id, invite)
        return web.Response(status=204)

    async def restore_point(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        make, id = await self._make_invite(by.session.id), request.match_info["point"]
        point = await self._book.restore_point(by.session.id, id, make, self._now_ms())
        return await self._with_link(request, by, point)

    async def get_link(self, request: web.Request) -> web.Response:
        by = await self._access.manages(bearer(request), session_of(request))
        point = await self._book.point(by.session.id, request.match_info["point"])
        if point.invite.revoked:
            raise Conflict("The link of this point was withdrawn: make a new one.")
        return await self._with_link(request, by, point)

    async def renew_link(self, request: web.Request) -> web.Response:
        by = await self._changing(request)
        make, id = await self._make_invite(by.session.id), request.match_info["point"]
        point, before = await self._book.renew_link(by.session.id, id, make, self._now_ms())
        await self._live.revoke_invite(by.session.id, before)
        return await self._with_link(request, by, point, 201)

    async def get_links(self, request: web.Request) -> web.Response:
        by = await self._access.manages(bearer(request), session_of(request))
        points, language = (
            await self._book.points(by.session.id),
            language_named(request.query.get("language", "en")),
        )
        await self._access.note(Event.OBJECT_EXPORTED, by, rows=len(points))
        base = self._clients.base_url(request)

        def made() -> bytes:
            return csv_of(link_table(points, lambda one: self._desk.link(one, base), language), language)

        return file_answer(await asyncio.to_thread(made), CSV_TYPE, "points.csv")

    # What they share

    def _shower(
        self, request: web.Request, session: SessionId, checks: dict[InviteId, Any], *, links: bool = False
    ) -> Callable[[EventPoint], dict[str, Any]]:
        connected, base = self._live.invites_connected(session), self._clients.base_url(request)

        def shown(point: EventPoint) -> dict[str, Any]:
            link = {"link": self._desk.link(point.invite, base)} if links and not point.invite.revoked else {}
            return point_view(point, connected, checks.get(point.invite.id)) | link

        return shown

    async def _with_link(
        self, request: web.Request, by: Admitted, point: EventPoint, status: int = 200
    ) -> web.Response:
        await self._access.note(Event.OBJECT_EXPORTED, by, rows=1)
        checks = await self._book.checks(by.session.id)
        return json_answer(self._shower(request, by.session.id, checks, links=True)(point), status)

    async def _make_invite(self, session: SessionId) -> Callable[[str], NewInvite]:
        starts_at_ms = (await self._book.event(session)).starts_at_ms
        return lambda point: self._desk.point_invite(point, starts_at_ms)

    async def _disconnect(self, session: SessionId, points: Sequence[EventPoint]) -> None:
        connected = self._live.invites_connected(session)
        for point in points:
            if point.invite.id in connected:
                await self._live.revoke_invite(session, point.invite.id)

    async def _changing(self, request: web.Request) -> Admitted:
        return await self._access.changes(bearer(request), session_of(request))

    async def _moderating(self, request: web.Request) -> Grant:
        grant = await self._auth.admit(bearer(request))
        if not policy.moderates(grant.role):
            raise NotAuthorised("This link does not open the wall.", "notAllowed")
        return grant


def session_of(request: web.Request) -> SessionId:
    """The event of the path."""
    return SessionId(request.match_info["session"])


async def _long_answer(made: Callable[[], dict[str, Any]]) -> web.Response:
    return encoded_answer(await asyncio.to_thread(lambda: encode(made())))

"""The HTTP interface of `docs/protocol.md`: who asks, what is asked, what is answered. A table of small handlers.

What may be made is decided by the desk, and who is connected is known by rooms, seen here through `Live`. Errors are
raised; `bridge.guard` puts them on the wire.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Protocol, get_args

from aiohttp import web
from msgspec import Meta, Struct

from bridge.auth import Auth
from bridge.desk import Desk, InviteWish, SessionWish
from bridge.errors import BridgeError, NotAuthorised
from bridge.exchange import bearer, json_answer, read_body
from bridge.guard import Clients
from bridge.health import Health
from bridge.ids import InviteId, RecordMode, Role, SessionFormat, SessionId, SessionKind
from bridge.messages import LoadName, ParticipantObject, RecordingObject
from bridge.store import InviteRecord, PointRecord, SessionRecord, Store

ID_PATTERN = "[a-z0-9]{1,32}"


def _version() -> str:
    try:
        return importlib.metadata.version("bridge")
    except importlib.metadata.PackageNotFoundError:
        return "unpackaged"


_VERSION = _version()

_LOADS = get_args(LoadName)
_INVITED_TO = ("id", "title", "kind", "format", "state", "record", "consent")
"""What who has an invite may know of its session before joining."""

_Text = Annotated[str, Meta(max_length=1000)]
_Number = Annotated[int, Meta(ge=0, le=2**31)]


class Counts(Protocol):
    """How much is going on."""

    @property
    def sessions(self) -> int: ...
    @property
    def participants(self) -> int: ...
    @property
    def load(self) -> int: ...


class Live(Protocol):
    """What rooms know of sessions with somebody in them; sessions without anybody count nothing."""

    def connected(self, session: SessionId) -> int:
        """How many are connected."""

    def connected_on(self, session: SessionId, invite: InviteId) -> int:
        """How many of them came on this invite."""

    def counts(self) -> Counts:
        """How much is going on."""

    @property
    def draining(self) -> bool:
        """Whether nothing new begins."""

    def drain(self, draining: bool) -> None:
        """Lets nothing new begin, or lets it again."""

    def participants(self, session: SessionId) -> Sequence[ParticipantObject]:
        """All of them, as who moderates sees them."""

    def recording(self, session: SessionId) -> RecordingObject | None:
        """The one that runs, as who may record sees it."""

    async def end_session(self, session: SessionId) -> None:
        """Ends it in the store and for all who are in it. Raises NotFound."""

    async def revoke_invite(self, session: SessionId, invite: InviteId) -> None:
        """Withdraws it in the store and disconnects whoever came on it. Raises NotFound."""


class _NewSession(Struct, rename="camel"):
    title: _Text
    kind: SessionKind | None = None
    format: SessionFormat | None = None
    capacity: _Number | None = None
    record: RecordMode | None = None
    consent: bool | None = None


class _NewInvite(Struct, rename="camel"):
    role: Role
    point: _Text = ""
    seats: _Number = 1
    expires_in_s: _Number | None = None


class _Drain(Struct):
    draining: bool


class _NewPoint(Struct, rename="camel"):
    name: _Text
    organisation: _Text = ""
    province: _Text = ""


class Api:
    """The handlers; `add_routes` is the table."""

    def __init__(
        self,
        *,
        title: str,
        store: Store,
        auth: Auth,
        desk: Desk,
        live: Live,
        clients: Clients,
        health: Health,
    ) -> None:
        self._title = title
        self._store = store
        self._auth = auth
        self._desk = desk
        self._live = live
        self._clients = clients
        self._health = health

    def add_routes(self, app: web.Application) -> None:
        session = f"/api/sessions/{{session:{ID_PATTERN}}}"
        invite = f"{session}/invites/{{invite:{ID_PATTERN}}}"
        table: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.Response]]], ...] = (
            ("GET", "/healthz", self.get_health),
            ("GET", "/api/invite", self.get_own_invite),
            ("GET", "/api/sessions", self.list_sessions),
            ("POST", "/api/sessions", self.create_session),
            ("GET", session, self.get_session),
            ("POST", f"{session}/end", self.end_session),
            ("POST", f"{session}/invites", self.create_invite),
            ("DELETE", invite, self.revoke_invite),
            ("GET", f"{invite}/link", self.get_link),
            ("GET", "/api/points", self.list_points),
            ("POST", "/api/points", self.create_point),
            ("GET", "/api/drain", self.get_drain),
            ("POST", "/api/drain", self.set_drain),
            ("*", "/api/{rest:.*}", self.nothing),
        )
        for method, path, handler in table:
            app.router.add_route(method, path, handler)

    async def get_health(self, _request: web.Request) -> web.Response:
        failing = await self._health.failing()
        if failing:
            return json_answer({"status": "failing", "version": _VERSION, "failing": failing}, 503)
        if self._live.draining:
            return json_answer({"status": "draining", "version": _VERSION}, 503)
        return json_answer({"status": "ok", "version": _VERSION, "load": _LOADS[self._live.counts().load]})

    async def get_drain(self, request: web.Request) -> web.Response:
        await self._auth.staff(bearer(request))
        counts = self._live.counts()
        return json_answer(
            {
                "draining": self._live.draining,
                "sessions": counts.sessions,
                "participants": counts.participants,
            }
        )

    async def set_drain(self, request: web.Request) -> web.Response:
        await self._auth.staff(bearer(request))
        self._live.drain((await read_body(request, _Drain)).draining)
        return await self.get_drain(request)

    async def get_own_invite(self, request: web.Request) -> web.Response:
        grant = await self._auth.admit(bearer(request))
        session = await self._store.get_session(grant.session)
        shown = {name: _session(session)[name] for name in _INVITED_TO}
        return json_answer({"session": shown, "role": grant.role, "point": grant.point, "host": self._title})

    async def list_sessions(self, request: web.Request) -> web.Response:
        await self._auth.staff(bearer(request))
        sessions = [
            self._shown(session)
            | {"createdAt": session.created_at_ms, "connected": self._live.connected(session.id)}
            for session in await self._store.list_sessions()
        ]
        return json_answer({"sessions": sessions, "usual": self._desk.usual()})

    async def create_session(self, request: web.Request) -> web.Response:
        await self._auth.staff(bearer(request))
        body = await read_body(request, _NewSession)
        made = await self._desk.create_session(
            SessionWish(
                body.title, body.kind, body.format, body.capacity, record=body.record, consent=body.consent
            )
        )
        return json_answer(self._desk.created(made, self._clients.base_url(request)), 201)

    async def get_session(self, request: web.Request) -> web.Response:
        session = await self._manages(request)
        record = await self._store.get_session(session)
        invites = [self._invite(invite) for invite in await self._store.list_invites(session)]
        participants = self._live.participants(session)
        return json_answer({"session": self._shown(record), "participants": participants, "invites": invites})

    async def end_session(self, request: web.Request) -> web.Response:
        session = await self._manages(request)
        await self._live.end_session(session)
        return web.Response(status=204)

    async def create_invite(self, request: web.Request) -> web.Response:
        session = await self._manages(request)
        body = await read_body(request, _NewInvite)
        wish = InviteWish(body.role, body.point, body.seats, body.expires_in_s)
        invite = await self._desk.create_invite(session, wish)
        return json_answer({"invite": invite.id, **self._link(request, invite)}, 201)

    async def revoke_invite(self, request: web.Request) -> web.Response:
        session = await self._manages(request)
        invite = await self._desk.invite_of(session, _invite_id(request))
        await self._live.revoke_invite(session, invite.id)
        return web.Response(status=204)

    async def get_link(self, request: web.Request) -> web.Response:
        session = await self._manages(request)
        invite = await self._desk.invite_of(session, _invite_id(request))
        if invite.revoked:
            raise BridgeError("This invite was withdrawn.", "conflict")
        return json_answer(self._link(request, invite))

    async def list_points(self, request: web.Request) -> web.Response:
        await self._auth.staff(bearer(request))
        return json_answer({"points": [_point(point) for point in await self._store.list_points()]})

    async def create_point(self, request: web.Request) -> web.Response:
        await self._auth.staff(bearer(request))
        body = await read_body(request, _NewPoint)
        point = await self._desk.create_point(body.name, body.organisation, body.province)
        return json_answer(_point(point), 201)

    async def nothing(self, _request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def _manages(self, request: web.Request) -> SessionId:
        """The session of the path, if the token is the staff's or its organiser's."""
        session = SessionId(request.match_info["session"])
        token = bearer(request)
        if self._auth.use_of(token) == "staff":
            await self._auth.staff(token)
            return session
        grant = await self._auth.admit(token)
        if grant.role is not Role.ORGANISER or grant.session != session:
            raise NotAuthorised("This link does not allow that.", "notAllowed")
        return session

    def _shown(self, session: SessionRecord) -> dict[str, object]:
        return _session(session) | {"recording": self._live.recording(session.id)}

    def _link(self, request: web.Request, invite: InviteRecord) -> dict[str, str]:
        base = self._clients.base_url(request)
        return {"token": self._desk.token(invite), "link": self._desk.link(invite, base)}

    def _invite(self, invite: InviteRecord) -> dict[str, object]:
        return {
            "id": invite.id,
            "role": invite.role,
            "point": invite.point,
            "seats": invite.seats,
            "expiresAt": invite.expires_at_ms,
            "revoked": invite.revoked,
            "connected": self._live.connected_on(invite.session, invite.id),
        }


def _session(session: SessionRecord) -> dict[str, object]:
    return {
        "id": session.id,
        "title": session.title,
        "kind": session.kind,
        "format": session.format,
        "state": session.state,
        "capacity": session.capacity,
        "startedAt": session.started_at_ms,
        "record": session.record,
        "consent": session.consent,
        "lobby": session.lobby,
        "locked": session.locked,
    }


def _point(point: PointRecord) -> dict[str, object]:
    return {
        "id": point.id,
        "name": point.name,
        "organisation": point.organisation,
        "province": point.province,
    }


def _invite_id(request: web.Request) -> InviteId:
    return InviteId(request.match_info["invite"])

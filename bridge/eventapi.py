"""Events over HTTP (`docs/protocol.md`): the wall of an event for those who moderate it. A table of small handlers."""

from __future__ import annotations

from aiohttp import web

from bridge import policy
from bridge.auth import Auth, Grant
from bridge.errors import NotAuthorised
from bridge.exchange import bearer, json_answer, whole_number
from bridge.wall import Wall


class EventApi:
    """The handlers; `add_routes` is the table."""

    def __init__(self, auth: Auth, wall: Wall) -> None:
        self._auth = auth
        self._wall = wall

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/wall", self.get_wall)

    async def get_wall(self, request: web.Request) -> web.Response:
        grant = await self._moderating(request)
        number, stills = self._wall.look(grant.session, whole_number(request, "after", 0))
        pictures = [
            {"participant": one.participant, "takenAt": one.taken_at_ms, "jpeg": one.jpeg} for one in stills
        ]
        levels = self._wall.levels(grant.session)
        return json_answer({"after": number, "pictures": pictures, "levels": levels})

    async def _moderating(self, request: web.Request) -> Grant:
        grant = await self._auth.admit(bearer(request))
        if not policy.moderates(grant.role):
            raise NotAuthorised("This link does not open the wall.", "notAllowed")
        return grant

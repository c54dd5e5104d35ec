"""How encoders and players come into sessions over HTTP: the `Doors` of WHIP (RFC 9725) and WHEP on top of rooms.

It owns the resources' ids and who may touch them: a resource is its invite's, and another invite's token opens
nothing. What a resource is (a participant or a player) and how long it lives is decided by rooms.
"""

from __future__ import annotations

import secrets

from bridge import messages
from bridge.auth import Auth
from bridge.errors import NotAuthorised, NotFound
from bridge.ids import Role
from bridge.media.contract import Description, Source
from bridge.media.negotiation import encoder_wishes
from bridge.media.whip import Opened
from bridge.participant import Participant
from bridge.players import Player
from bridge.rooms import Rooms

_NAMES = {Role.ORGANISER: "Organiser", Role.HUB: "Hub", Role.SATELLITE: "Satellite", Role.VIEWER: "Viewer"}
"""Of an encoder whose point has no name and that gives none."""


class RoomDoors:
    """Implements `bridge.media.whip.Doors`."""

    def __init__(self, rooms: Rooms, auth: Auth) -> None:
        self._rooms = rooms
        self._auth = auth
        self._resources: dict[str, Participant | Player] = {}

    async def publish(
        self, token: str, name: str | None, offer: Description, video: Source, audio: Source
    ) -> Opened:
        """Joins as a participant. Raises what `Auth.admit` and `Rooms.join_device` raise."""
        grant = await self._auth.admit(token)
        wishes = [
            messages.Wish(mid=wish.mid, source=wish.source.value)
            for wish in encoder_wishes(offer, video, audio)
        ]
        shown = name or grant.point[: messages.NAME_LIMIT] or _NAMES[grant.role]
        participant, answer = await self._rooms.join_device(grant, shown, offer, wishes)
        return Opened(self._remember(participant), answer)

    async def play(
        self, token: str, offer: Description, source: Source | None, participant: str | None
    ) -> Opened:
        """Opens a player. Raises what `Auth.admit` and `Rooms.play` raise."""
        grant = await self._auth.admit(token)
        player, answer = await self._rooms.play(grant, offer, source, participant)
        return Opened(self._remember(player), answer)

    async def require(self, resource: str, token: str) -> None:
        """Raises NotFound, NotAuthorised."""
        await self._own(resource, token)

    async def restart(self, resource: str, token: str, fragment: Description) -> Description:
        """Raises NotFound, NotAuthorised, and what media raises for the fragment."""
        return await self._rooms.restart_ice(await self._own(resource, token), fragment)

    async def close(self, resource: str, token: str) -> None:
        """Raises NotFound, NotAuthorised."""
        owner = await self._own(resource, token)
        del self._resources[resource]
        if isinstance(owner, Player):
            self._rooms.stop_player(owner)
        else:
            self._rooms.leave(owner)

    def _remember(self, owner: Participant | Player) -> str:
        # Rooms bound how many are alive, so the table stays as small as that once the ended are dropped.
        self._resources = {id: known for id, known in self._resources.items() if self._alive(known)}
        resource = secrets.token_urlsafe(16)
        self._resources[resource] = owner
        return resource

    async def _own(self, resource: str, token: str) -> Participant | Player:
        grant = await self._auth.admit(token)
        owner = self._resources.get(resource)
        if owner is None or not self._alive(owner):
            self._resources.pop(resource, None)
            raise NotFound("There is no such resource.")
        if owner.grant.invite != grant.invite:
            raise NotAuthorised("This resource was opened by another link.")
        return owner

    def _alive(self, owner: Participant | Player) -> bool:
        return self._rooms.is_playing(owner) if isinstance(owner, Player) else not owner.gone

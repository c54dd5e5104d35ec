"""Line checks: a link's own video and sound, sent through the real relay and straight back to it, for a short while.

It knows media by its contract only, and no session: nobody but who checks sees or hears anything of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from bridge.allowance import Allowance
from bridge.auth import Grant
from bridge.errors import Conflict, LimitExceeded, NotAuthorised, NotFound, public_error
from bridge.ids import InviteId
from bridge.media.contract import Description, Media, PeerId, PublishedTrack, Source
from bridge.media.negotiation import encoder_wishes

CHECKS_LIMIT = 20
"""At once on a server: at four megabits a second each, what a live event can spare."""
CHECKS_PER_LINK = 3
"""Of a link for many."""
LASTS_S = 90
SWEPT_EVERY_S = 1.0
BEGUN_BURST, BEGUN_PER_S = 10, 0.1
"""How often a link may begin one: a handshake costs more than a click."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Check:
    id: str
    invite: InviteId
    ends_at_ms: int
    peers: list[PeerId] = field(default_factory=list)
    tracks: tuple[PublishedTrack, ...] | None = None
    busy: bool = False
    over: bool = False


class LineChecks:
    """Those that run on this server. `is_busy`: live sessions need it."""

    def __init__(self, media: Media, is_busy: Callable[[], bool], now_ms: Callable[[], int]) -> None:
        self._media = media
        self._is_busy = is_busy
        self._now_ms = now_ms
        self._checks: dict[str, _Check] = {}
        self._begun: dict[InviteId, Allowance] = {}
        self._somebody_checks = asyncio.Event()

    async def begin(self, grant: Grant) -> str:
        """A new check; of a link for one, the one before ends. Raises LimitExceeded (`tooMany`)."""
        if self._is_busy():
            raise LimitExceeded("The server is busy with a live session: check your line a little later.")
        now_ms = self._now_ms()
        begun = self._begun.setdefault(grant.invite, Allowance(BEGUN_BURST, BEGUN_PER_S, now_ms))
        self._somebody_checks.set()
        begun.spend(now_ms, "This link checked its line too often: try again in a minute.")
        own = [check for check in self._checks.values() if check.invite == grant.invite]
        if grant.seats == 1:
            await asyncio.gather(*(self._end(check) for check in own))
        elif len(own) >= CHECKS_PER_LINK:
            raise LimitExceeded("This link checks its line in too many places: try again in a minute.")
        if len(self._checks) >= CHECKS_LIMIT:
            raise LimitExceeded("Many others check their lines just now: try again in a minute.")
        check = _Check(secrets.token_hex(8), grant.invite, now_ms + LASTS_S * 1000)
        self._checks[check.id] = check
        return check.id

    async def take_up(self, grant: Grant, id: str, offer: Description) -> Description:
        """What it sends. Raises NotFound, NotAuthorised, Conflict, MediaError."""
        check = self._own(grant, id)
        if check.tracks is not None:
            raise Conflict("This check is sent to already.")
        async with self._step(check):
            wishes = encoder_wishes(offer, Source.CAMERA, Source.MICROPHONE)
            peer = await self._media.open_publisher()
            await self._adopt(check, peer)
            result = await self._media.publish(peer, offer, wishes)
            check.tracks = result.tracks
            return result.answer

    async def give_back(self, grant: Grant, id: str, offer: Description) -> Description:
        """Its own tracks. Raises NotFound, NotAuthorised, Conflict, MediaError."""
        check = self._own(grant, id)
        if check.tracks is None:
            raise Conflict("Nothing is sent to this check yet.")
        if len(check.peers) > 1:
            raise Conflict("This check is sent back already.")
        async with self._step(check):
            peer, answer = await self._media.open_player(offer)
            await self._adopt(check, peer)
            by_kind = {track.kind: track.track for track in check.tracks}
            self._media.show(peer, by_kind.get("video"), by_kind.get("audio"))
            return answer

    async def end(self, grant: Grant, id: str) -> None:
        """Raises NotFound, NotAuthorised."""
        await self._end(self._own(grant, id))

    async def run(self) -> None:
        """Ends those whose time is over, for ever."""
        while True:
            if not (self._checks or self._begun):
                self._somebody_checks.clear()
                await self._somebody_checks.wait()
            await asyncio.sleep(SWEPT_EVERY_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Ends those whose time is over, and forgets links that began none for long."""
        now_ms = self._now_ms()
        self._begun = {invite: begun for invite, begun in self._begun.items() if not begun.is_whole(now_ms)}
        await asyncio.gather(*(self._end(c) for c in [*self._checks.values()] if now_ms >= c.ends_at_ms))

    async def close(self) -> None:
        """Ends all."""
        await asyncio.gather(*(self._end(check) for check in [*self._checks.values()]))

    def _own(self, grant: Grant, id: str) -> _Check:
        check = self._checks.get(id)
        if check is None or check.over:
            raise NotFound("This check is over: begin another one.")
        if check.invite != grant.invite:
            raise NotAuthorised("This check was begun by another link.", "notAllowed")
        if check.busy:
            raise Conflict("This check is being connected.")
        return check

    @asynccontextmanager
    async def _step(self, check: _Check) -> AsyncIterator[None]:
        """No other step is done meanwhile; one that fails ends the check."""
        check.busy = True
        try:
            yield
        except BaseException:
            await self._end(check)
            raise
        finally:
            check.busy = False

    async def _adopt(self, check: _Check, peer: PeerId) -> None:
        """Raises NotFound if the check ended while media answered."""
        if check.over:
            await self._media.close_peer(peer)
            raise NotFound("This check is over: begin another one.")
        check.peers.append(peer)

    async def _end(self, check: _Check) -> None:
        if check.over:
            return
        check.over = True
        self._checks.pop(check.id, None)
        # What receives goes first: it would only complain that its tracks have gone.
        for peer in reversed(check.peers):
            try:
                await self._media.close_peer(peer)
            except Exception as error:
                _log.exception("linecheck.not_closed", code=public_error(error).code)

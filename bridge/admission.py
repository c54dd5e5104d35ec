"""Coming into events: hundreds at once are let in at a pace, and where the door has a lobby, by a moderator.

Policy only, no clock and no socket; who waits is told through its outlet, and goes on when its `turn` is set. Consults
are entered at once, and so is everything by who moderates.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from bridge import messages, policy
from bridge.allowance import Allowance
from bridge.auth import Grant
from bridge.errors import Conflict, LimitExceeded, NotFound
from bridge.eventdoor import EventDoor, Knock, Known
from bridge.livesession import LiveSession, require_moderator
from bridge.lobby import Lobby
from bridge.participant import Outlet, Participant
from bridge.store import Store

WAITING_LIMIT = 2000
"""Over all events: each is an open connection, and told its place every two seconds."""
PLACE_TOLD_EVERY_MS = 2000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast people come into the events of a server."""

    joins_per_s: int = 40
    burst: int = 60


class Admission:
    """Who waits at the doors of this server's events."""

    def __init__(self, lobby: Lobby, store: Store, pace: Pace, now_ms: Callable[[], int]) -> None:
        self._lobby = lobby
        self._store = store
        self._now_ms = now_ms
        # Somebody looks ten times a second: less would be lost between two looks.
        burst = max(pace.burst, pace.joins_per_s / 5)
        self._bucket = Allowance(burst, pace.joins_per_s, now_ms())
        self._waiting: set[Knock] = set()
        self._queue: dict[Knock, None] = {}

    @property
    def waiting(self) -> int:
        """How many wait, in the queue and in lobbies."""
        return len(self._waiting)

    async def knock(self, grant: Grant, name: str, outlet: Outlet, resume_token: str | None) -> Knock:
        """Asks to come in. The `turn` of what is returned is set when it may; call `gone` when it did or gave up.

        Raises like `Lobby.open` and `Lobby.check_door`, and LimitExceeded (`tooMany`, `sessionFull`), ProtocolError for
        a name without letters.
        """
        cleaned = policy.clean_name(name)
        session = await self._lobby.open(grant)
        now_ms = self._now_ms()
        knock = Knock(secrets.token_hex(6), grant, cleaned, outlet, now_ms, session.door)
        if session.door is None or policy.moderates(grant.role):
            knock.turn.set()
            return knock
        knock.known = self._lobby.known(session, grant, resume_token)
        if knock.known is Known.HERE:
            knock.turn.set()
            return knock
        if knock.known is Known.NO:
            self._lobby.check_newcomer(session, grant)
        self._check_link(session, grant)
        if len(self._waiting) >= WAITING_LIMIT:
            raise LimitExceeded("Too many wait to come in: try again in a moment.")
        self._waiting.add(knock)
        session.door.knocks[knock.id] = knock
        self._send_on(knock, session.door)
        return knock

    def _check_link(self, session: LiveSession, grant: Grant) -> None:
        """No more wait on a link than it has seats: one link cannot fill the lobby. Of a link for one the newest waits.

        Raises LimitExceeded (`sessionFull`)."""
        waiting = [knock for knock in session.knocks_on(grant.invite) if not knock.turn.is_set()]
        if len(waiting) < grant.seats:
            return
        if grant.seats > 1:
            raise LimitExceeded("As many wait on this link as it has places.", "sessionFull")
        for knock in waiting:
            self.gone(knock)
            knock.outlet.close("joinedElsewhere", "This link was opened somewhere else.")

    def gone(self, knock: Knock) -> None:
        """It is in, or waits no longer. May be repeated."""
        self._waiting.discard(knock)
        self._queue.pop(knock, None)
        if knock.door is not None:
            knock.door.knocks.pop(knock.id, None)
            knock.door.leave_lobby(knock)

    def _send_on(self, knock: Knock, door: EventDoor) -> None:
        """To the lobby, into the queue, or in."""
        if door.lobby and knock.known is Known.NO and not knock.admitted:
            door.wait_in_lobby(knock)
            self._tell(knock, "lobby", 0)
        elif knock.paced or (not self._queue and self._may_pass()):
            knock.turn.set()
        else:
            self._queue[knock] = None
            self._tell(knock, "pacing", len(self._queue))

    def _may_pass(self) -> bool:
        try:
            self._bucket.spend(self._now_ms(), "")
        except LimitExceeded:
            return False
        return True

    def _tell(self, knock: Knock, reason: messages.WaitingReason, place: int) -> None:
        knock.place_told, knock.told_at_ms = place, self._now_ms()
        knock.outlet.send(messages.encode(messages.Waiting(reason=reason, place=place)))

    # Time

    def tick(self, now_ms: int) -> None:
        """Lets in who has waited long enough, and tells the others where they stand."""
        while self._queue and self._may_pass():
            knock = next(iter(self._queue))
            del self._queue[knock]
            knock.paced = True
            if knock.door is not None:
                self._send_on(knock, knock.door)
        for place, knock in enumerate(self._queue, 1):
            if place != knock.place_told and now_ms - knock.told_at_ms >= PLACE_TOLD_EVERY_MS:
                self._tell(knock, "pacing", place)

    # What moderators ask for

    async def set_door(self, actor: Participant, *, lobby: bool | None, locked: bool | None) -> None:
        """Whether people wait to be let in, and whether nobody new comes; it outlives a restart. None: as it is.

        Raises NotAuthorised (`notAllowed`), Conflict in a consult."""
        session, door = self._moderated(actor)
        await self._store.save_door(session.id, lobby=lobby, locked=locked)
        if lobby is not None:
            door.lobby = lobby
        if locked is not None:
            door.locked = locked
        session.tell_session()
        if not door.lobby:
            self._let_in(door, list(door.in_lobby.values()), admitted=False)

    def admit(self, actor: Participant, ids: tuple[str, ...]) -> None:
        """Lets in these, or without any, all. Who has gone meanwhile is passed over."""
        _, door = self._moderated(actor)
        wanted = (
            list(door.in_lobby.values()) if not ids else [door.in_lobby.get(id) for id in dict.fromkeys(ids)]
        )
        self._let_in(door, [knock for knock in wanted if knock is not None], admitted=True)

    def turn_away(self, actor: Participant, id: str) -> None:
        """Raises NotFound."""
        _, door = self._moderated(actor)
        knock = door.in_lobby.get(id)
        if knock is None:
            raise NotFound("This person does not wait any more.")
        self.gone(knock)
        knock.outlet.close("removed", "The organiser did not let you in.")

    def _let_in(self, door: EventDoor, knocks: list[Knock], *, admitted: bool) -> None:
        for knock in knocks:
            knock.admitted |= admitted
            door.leave_lobby(knock)
            self._send_on(knock, door)

    def _moderated(self, actor: Participant) -> tuple[LiveSession, EventDoor]:
        session = self._lobby.session_of(actor)
        require_moderator(actor)
        if session.door is None:
            raise Conflict("This session is a consult: only events have this.")
        return session, session.door

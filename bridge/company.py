"""Who is in a session, who sees whom, and telling them: at once, or in batches what can wait.

Policy only. One rule decides: viewers off the stage, and in an event points too, are seen by moderators only
(`docs/protocol.md`, Objects).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge import messages, policy
from bridge.errors import NotFound
from bridge.ids import ParticipantId, Role, SessionFormat
from bridge.media.contract import PeerId
from bridge.participant import Participant
from bridge.players import Player
from bridge.speakers import Speakers

AUDIENCE_EVERY_MS = 2000
"""Hundreds may join within a second; nobody watches the count that closely."""
CHANGES_EVERY_MS = 1000


class Company:
    """The people and players of one session, and those of them who have the floor."""

    def __init__(
        self, session_format: SessionFormat, floor: Iterable[str], now_ms: Callable[[], int]
    ) -> None:
        self.people: dict[ParticipantId, Participant] = {}
        self.players: dict[PeerId, Player] = {}
        self.speakers = Speakers()
        self.floor: list[ParticipantId] = [ParticipantId(id) for id in floor]
        """Who has the floor, present or not: who was lost finds it again. `stage` is those that are here."""
        self._format = session_format
        self._now_ms = now_ms
        self._touched: dict[ParticipantId, bool] = {}
        self._touched_told_at_ms = 0
        self._audience_told = (0, 0)
        self._audience_told_at_ms = 0

    # Who is here, and who sees whom

    @property
    def stage(self) -> tuple[ParticipantId, ...]:
        return tuple(id for id in self.floor if id in self.people)

    @property
    def occupied(self) -> int:
        """Places taken of the capacity; who may still resume keeps the place."""
        return len(self.people) + len(self.players)

    @property
    def audience(self) -> int:
        """Who watches without being listed; an encoder does not."""
        watching = sum(not (who.device or self._visible(who)) for who in self.people.values())
        return watching + len(self.players)

    @property
    def points(self) -> int:
        """How many points are in an event, however many devices each has; in a consult they are listed instead."""
        if self._format is SessionFormat.CONSULT:
            return 0
        grants = [who.grant for who in self.people.values() if who.grant.role is Role.SATELLITE]
        return len({grant.point or grant.invite for grant in grants})

    def person(self, id: str) -> Participant:
        """Raises NotFound."""
        participant = self.people.get(ParticipantId(id))
        if participant is None:
            raise NotFound("There is no such participant.")
        return participant

    def on_stage(self, participant: Participant) -> bool:
        return participant.id in self.floor

    def _visible(self, participant: Participant) -> bool:
        return not policy.unlisted(participant.grant.role, self._format) or participant.id in self.floor

    def _seen_by(self, whom: Participant) -> Iterable[Participant]:
        if self._visible(whom):
            return self.people.values()
        return [who for who in self.people.values() if who is whom or who.moderates]

    def _blind_to(self, whom: Participant) -> list[Participant]:
        """Who sees this one on the stage only."""
        if not policy.unlisted(whom.grant.role, self._format):
            return []
        return [who for who in self.people.values() if who is not whom and not who.moderates]

    def _tell(
        self, who: Iterable[Participant], *changes: messages.Change, but: Participant | None = None
    ) -> None:
        now_ms = self._now_ms()
        encoded = [messages.encode(change) for change in changes]
        for participant in who:
            if participant is not but:
                for change in encoded:
                    participant.change(change, now_ms)

    # Telling in batches

    def _tell_connected(self, participant: Participant) -> None:
        if self.on_stage(participant):
            changed = messages.ParticipantChanged(participant=participant.to_wire())
            self._tell(self._seen_by(participant), changed, but=participant)
        else:
            self.touch(participant, everybody=True)

    def touch(self, participant: Participant, *, everybody: bool = False) -> None:
        """Something about it changed that can wait for the next batch.

        In an event, lines and clocks of those off the stage are told to moderators only, unless `everybody`.
        """
        self._touched[participant.id] = everybody or self._touched.get(participant.id, False)

    def tell_batches(self, now_ms: int) -> None:
        """Tells what waited long enough."""
        if self._touched and now_ms - self._touched_told_at_ms >= CHANGES_EVERY_MS:
            self._touched_told_at_ms = now_ms
            touched, self._touched = self._touched, {}
            for id, everybody in touched.items():
                self._tell_touched(self.people[id], everybody)
        if now_ms - self._audience_told_at_ms >= AUDIENCE_EVERY_MS:
            self._audience_told_at_ms = now_ms
            self._tell_audience_if_other()
        speakers = self.speakers.update(now_ms)
        if speakers is not None:
            news = self.speakers_news()
            for participant in self.people.values():
                participant.tell(news)

    def _tell_audience_if_other(self) -> None:
        audience = (self.audience, self.points)
        if audience != self._audience_told:
            self._audience_told = audience
            self._tell(self.people.values(), messages.AudienceChanged(count=audience[0], points=audience[1]))

    def _tell_touched(self, participant: Participant, everybody: bool) -> None:
        seen_by = self._seen_by(participant)
        if not (everybody or self.on_stage(participant)):
            seen_by = [who for who in seen_by if who.moderates or who is participant]
        but = None if participant.connected else participant
        self._tell(seen_by, messages.ParticipantChanged(participant=participant.to_wire()), but=but)

    def speakers_news(self) -> bytes:
        return messages.encode(
            messages.SpeakersChanged(
                speakers=tuple(
                    messages.Speaker(participant=id, level=level) for id, level in self.speakers.told
                )
            )
        )

    def tell_audience_to(self, who: Participant) -> None:
        """The count of those not listed, which no snapshot holds."""
        self._tell([who], messages.AudienceChanged(count=self.audience, points=self.points))

    def tell_to(self, who: Iterable[Participant], change: messages.Change) -> None:
        """Tells some of those who are here."""
        self._tell(who, change)

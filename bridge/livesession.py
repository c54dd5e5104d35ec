"""One session while it is live: who is in it, the stage, hands, chat, and what each is told of the others.

Policy only: it knows participants as objects with an outlet, and of media nothing but what is published. Who is told
what follows from one rule: viewers off the stage are seen by moderators only (`docs/protocol.md`, Objects).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable

from bridge import messages, policy
from bridge.allowance import Allowance
from bridge.errors import Conflict, NotAuthorised, NotFound
from bridge.ids import InviteId, ParticipantId, Role
from bridge.media.contract import PeerId, Source, TrackId
from bridge.participant import Participant, Publication
from bridge.players import Player
from bridge.speakers import Speakers
from bridge.store import SessionRecord

CHAT_KEPT = 200
AUDIENCE_EVERY_MS = 2000
"""Hundreds may join within a second; nobody watches the count that closely."""
CHANGES_EVERY_MS = 1000


class LiveSession:
    """All state of one session. It tells participants of changes itself; what they receive is `forwarding`'s."""

    def __init__(self, record: SessionRecord, now_ms: Callable[[], int]) -> None:
        self.id = record.id
        self.record = record
        self.started_at_ms = record.started_at_ms
        self.ended = False
        self.people: dict[ParticipantId, Participant] = {}
        self.publications: dict[TrackId, Publication] = {}
        self.players: dict[PeerId, Player] = {}
        self.speakers = Speakers()
        self.floor: list[ParticipantId] = [ParticipantId(id) for id in record.stage]
        """Who has the floor, present or not: who was lost finds it again. `stage` is those that are here."""
        self.saved_floor = tuple(self.floor)
        self.saving = asyncio.Lock()
        self.barred: set[tuple[InviteId, int]] = set()
        self.revoked: set[InviteId] = set()
        self.comings: dict[InviteId, Allowance] = {}
        self.quiet_since_ms = now_ms()
        self._now_ms = now_ms
        self._stood_down: set[ParticipantId] = set()
        self._hands: list[ParticipantId] = []
        self._chat: deque[messages.ChatLine] = deque(maxlen=CHAT_KEPT)
        self._touched: dict[ParticipantId, bool] = {}
        self._touched_told_at_ms = 0
        self._audience_told = 0
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
        """Who watches without being listed."""
        return sum(not self._visible(participant) for participant in self.people.values()) + len(self.players)

    def person(self, id: str) -> Participant:
        """Raises NotFound."""
        participant = self.people.get(ParticipantId(id))
        if participant is None:
            raise NotFound("There is no such participant.")
        return participant

    def publication(self, id: str) -> Publication:
        """Raises NotFound."""
        publication = self.publications.get(TrackId(id))
        if publication is None:
            raise NotFound("There is no such track.")
        return publication

    def on_stage(self, participant: Participant) -> bool:
        return participant.id in self.floor

    def published_by(self, participant: Participant) -> list[Publication]:
        return [pub for pub in self.publications.values() if pub.participant == participant.id]

    def stage_tracks(self) -> list[Publication]:
        """What everybody receives, in the order of the stage."""
        place = {id: index for index, id in enumerate(self.stage)}
        tracks = [pub for pub in self.publications.values() if pub.participant in place]
        return sorted(tracks, key=lambda pub: place[pub.participant])

    def _visible(self, participant: Participant) -> bool:
        return participant.grant.role is not Role.VIEWER or participant.id in self.floor

    def _seen_by(self, whom: Participant) -> Iterable[Participant]:
        if self._visible(whom):
            return self.people.values()
        return [who for who in self.people.values() if who is whom or who.moderates]

    def _blind_to(self, whom: Participant) -> list[Participant]:
        """Who sees this one on the stage only."""
        if whom.grant.role is not Role.VIEWER:
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

    # Coming and going

    def enter(
        self, participant: Participant, replaced: Participant | None, same_person: bool = False
    ) -> None:
        """Takes a place, or the one of `replaced`, which has the same id. `replaced` is gone afterwards.

        `same_person`: it is known to be who sat there, as after a reload, also on a link of many seats.
        """
        goes_on = False
        if replaced is not None:
            alone = participant.grant.seats == 1
            goes_on = same_person or (alone and not replaced.connected)
            self._replace(participant, replaced, goes_on)
        elif participant.grant.seats > 1:
            # After a restart nobody knows who sat where on a link of many: the floor must not pass to a stranger.
            self._leave_floor(participant.id)
        self.people[participant.id] = participant
        self._take_place_on_stage(participant)
        joined: messages.Change = messages.ParticipantJoined(participant=participant.to_wire())
        if goes_on:
            joined = messages.ParticipantChanged(participant=participant.to_wire())
        self._tell(self._seen_by(participant), joined, but=participant)
        if self.on_stage(participant):
            self._tell_stage(but=participant)

    def _replace(self, participant: Participant, replaced: Participant, goes_on: bool) -> None:
        if goes_on:
            self.unpublish(replaced, self.published_by(replaced))
        else:
            alone = participant.grant.seats == 1
            reason: messages.LeaveReason = "joinedElsewhere" if replaced.connected else "lost"
            self.exit(replaced, reason, keeps_floor=alone)
        if goes_on or participant.grant.seats == 1:
            participant.blocked_sources = replaced.blocked_sources
        replaced.gone = True

    def _take_place_on_stage(self, participant: Participant) -> None:
        places = policy.STAGE_LIMIT[self.record.format] - sum(id != participant.id for id in self.stage)
        wanted = participant.id in self.floor or (
            policy.gets_floor(participant.grant.role, self.record.format)
            and participant.id not in self._stood_down
        )
        if not wanted or places <= 0:
            self._leave_floor(participant.id)
        elif participant.id not in self.floor:
            self.floor.append(participant.id)

    def exit(self, participant: Participant, reason: messages.LeaveReason, *, keeps_floor: bool) -> None:
        """Goes away with its tracks; the floor may wait for its return."""
        self.unpublish(participant, self.published_by(participant))
        participant.gone = True
        told = list(self._seen_by(participant))
        self._tell(told, messages.ParticipantLeft(participant=participant.id, reason=reason), but=participant)
        was_on_stage = self.on_stage(participant)
        if not keeps_floor:
            self._leave_floor(participant.id)
        self.lower_hand(participant)
        del self.people[participant.id]
        self._touched.pop(participant.id, None)
        self.speakers.forget(participant.id)
        self.quiet_since_ms = self._now_ms()
        if was_on_stage:
            self._tell_stage()

    def line_lost(self, participant: Participant) -> None:
        """May still resume."""
        participant.away_since_ms = self._now_ms()
        self._tell_connected(participant)

    def line_back(self, participant: Participant) -> None:
        participant.away_since_ms = None
        self._tell_connected(participant)

    def _tell_connected(self, participant: Participant) -> None:
        if self.on_stage(participant):
            changed = messages.ParticipantChanged(participant=participant.to_wire())
            self._tell(self._seen_by(participant), changed, but=participant)
        else:
            self.touch(participant, everybody=True)

    # The stage

    def give_floor(self, whom: Participant) -> None:
        """Raises Conflict if the stage is full."""
        if self.on_stage(whom):
            return
        if len(self.stage) >= policy.STAGE_LIMIT[self.record.format]:
            raise Conflict("The stage is full: take the floor from somebody first.")
        newly_told = self._blind_to(whom)
        self.floor.append(whom.id)
        self._stood_down.discard(whom.id)
        self._tell(newly_told, messages.ParticipantJoined(participant=whom.to_wire()))
        self._tell(newly_told, *(messages.TrackPublished(track=p.to_wire()) for p in self.published_by(whom)))
        self._tell_stage()
        self._tell_permissions(whom)
        self.lower_hand(whom)

    def take_floor(self, whom: Participant) -> None:
        if not self.on_stage(whom):
            return
        self._leave_floor(whom.id)
        self._stood_down.add(whom.id)
        self.speakers.forget(whom.id)
        self._tell_stage()
        not_told_more = self._blind_to(whom)
        self._tell(
            not_told_more, *(messages.TrackUnpublished(track=p.track.track) for p in self.published_by(whom))
        )
        self._tell(not_told_more, messages.ParticipantLeft(participant=whom.id, reason="left"))
        self._tell_permissions(whom)
        if whom.id in self._hands:
            self._tell_hands(self.people.values())

    def _leave_floor(self, id: ParticipantId) -> None:
        if id in self.floor:
            self.floor.remove(id)

    def _tell_stage(self, but: Participant | None = None) -> None:
        self._tell(self.people.values(), messages.StageChanged(stage=self.stage), but=but)

    def _tell_permissions(self, whom: Participant) -> None:
        role = whom.grant.role
        granted = policy.permissions(role, self.on_stage(whom))
        if granted != policy.permissions(role, not self.on_stage(whom)):
            self._tell([whom], messages.PermissionsChanged(permissions=granted))

    # Tracks

    def publish(self, publication: Publication) -> None:
        self.publications[publication.track.track] = publication
        self._tell_track(publication, messages.TrackPublished(track=publication.to_wire()))

    def unpublish(self, participant: Participant, publications: Iterable[Publication]) -> None:
        for publication in publications:
            del self.publications[publication.track.track]
            self._tell_track(publication, messages.TrackUnpublished(track=publication.track.track))
            if publication.track.source is Source.MICROPHONE:
                self.speakers.forget(participant.id)

    def tell_track_changed(self, publication: Publication) -> None:
        if publication.silent and publication.track.source is Source.MICROPHONE:
            self.speakers.forget(publication.participant)
        self._tell_track(publication, messages.TrackChanged(track=publication.to_wire()))

    def _tell_track(self, publication: Publication, change: messages.Change) -> None:
        owner = self.people.get(publication.participant)
        if owner is not None:
            self._tell(self._seen_by(owner), change, but=owner if owner.gone else None)

    # Hands, chat, names

    def raise_hand(self, whose: Participant) -> None:
        if whose.id not in self._hands:
            self._hands.append(whose.id)
            self._tell_hands({p.id: p for p in [*self._seen_by(whose)]}.values())

    def lower_hand(self, whose: Participant) -> None:
        if whose.id in self._hands:
            self._hands.remove(whose.id)
            self._tell_hands(self._seen_by(whose))

    def hands_for(self, who: Participant) -> tuple[ParticipantId, ...]:
        """The longest raised first; only of those whom this one sees."""
        return tuple(
            id for id in self._hands if who.moderates or id == who.id or self._visible(self.people[id])
        )

    def _tell_hands(self, who: Iterable[Participant]) -> None:
        told: dict[tuple[ParticipantId, ...], list[Participant]] = {}
        for participant in who:
            if not participant.gone:
                told.setdefault(self.hands_for(participant), []).append(participant)
        for hands, those in told.items():
            self._tell(those, messages.HandsChanged(hands=hands))

    def chat(self, sender: Participant, text: str) -> None:
        line = messages.ChatLine(
            id=secrets.token_hex(6),
            from_=sender.id,
            name=sender.name,
            text=policy.clean_text(text),
            sent_at=self._now_ms(),
        )
        self._chat.append(line)
        self._tell(self.people.values(), messages.ChatSent(line=line))

    def rename(self, participant: Participant, name: str) -> None:
        participant.name = policy.clean_name(name)
        self._tell(self._seen_by(participant), messages.ParticipantChanged(participant=participant.to_wire()))

    # Telling in batches

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
        if self.audience != self._audience_told and now_ms - self._audience_told_at_ms >= AUDIENCE_EVERY_MS:
            self._audience_told, self._audience_told_at_ms = self.audience, now_ms
            self._tell(self.people.values(), messages.AudienceChanged(count=self._audience_told))
        speakers = self.speakers.update(now_ms)
        if speakers is not None:
            news = self.speakers_news()
            for participant in self.people.values():
                participant.tell(news)

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

    # Snapshots

    def tell_session(self) -> None:
        self._tell(self.people.values(), messages.SessionChanged(session=self.to_wire()))

    def to_wire(self) -> messages.SessionObject:
        record = self.record
        return messages.SessionObject(
            id=record.id,
            title=record.title,
            kind=record.kind.value,
            format=record.format.value,
            state="ended" if self.ended else "open",
            capacity=record.capacity,
            started_at=self.started_at_ms,
        )

    def snapshot(self, who: Participant, resume_token: str, resume_within_s: int) -> messages.Joined:
        """All that this participant may know now."""
        listed = {
            id: whom
            for id, whom in self.people.items()
            if whom is who or who.moderates or self._visible(whom)
        }
        return messages.Joined(
            participant=who.id,
            resume_token=resume_token,
            resume_within_s=resume_within_s,
            seq=who.journal.seq,
            server_time_at=self._now_ms(),
            session=self.to_wire(),
            participants=tuple(whom.to_wire() for whom in listed.values()),
            tracks=tuple(pub.to_wire() for pub in self.publications.values() if pub.participant in listed),
            stage=self.stage,
            hands=self.hands_for(who),
            chat=tuple(self._chat),
            permissions=policy.permissions(who.grant.role, self.on_stage(who)),
        )

    def tell_audience_to(self, who: Participant) -> None:
        """The count of those not listed, which no snapshot holds."""
        self._tell([who], messages.AudienceChanged(count=self.audience))


def require_moderator(actor: Participant) -> None:
    """Raises NotAuthorised (`notAllowed`)."""
    if not actor.moderates:
        raise NotAuthorised("Only moderators may do this.", "notAllowed")

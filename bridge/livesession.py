"""One session while it is live: coming and going, the stage, tracks, hands, chat, consents, marks.

Policy only: it knows participants as objects with an outlet, and of media nothing but what is published. Whether it is
recorded is `recordkeeping`'s; here is what people are told of that.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable

from bridge import messages, policy
from bridge.allowance import Allowance
from bridge.company import Company
from bridge.errors import Conflict, NotAuthorised, NotFound
from bridge.eventdoor import EventDoor, Knock
from bridge.eventstate import EventState
from bridge.ids import InviteId, ParticipantId, SessionFormat
from bridge.media.contract import Source, TrackId
from bridge.participant import ConsentAnswer, Participant, Publication
from bridge.reading import Reading
from bridge.store import SessionRecord
from bridge.witness import Recording, Witness

CHAT_KEPT = 200


class LiveSession(Company):
    """All state of one session. It tells participants of changes itself; what they receive is `forwarding`'s."""

    def __init__(
        self,
        record: SessionRecord,
        witness: Witness,
        now_ms: Callable[[], int],
        attended: Iterable[ParticipantId] = (),
    ) -> None:
        super().__init__(record.format, record.stage, now_ms)
        self.id = record.id
        self.record = record
        self.started_at_ms = record.started_at_ms
        self.ended = False
        self.publications: dict[TrackId, Publication] = {}
        self.saved_floor = tuple(self.floor)
        self.saving = asyncio.Lock()
        self.barred: set[tuple[InviteId, int]] = set()
        self.blocked: dict[ParticipantId, set[Source]] = {}
        """What moderators muted, by seat: who goes and comes again is still muted."""
        self.revoked: set[InviteId] = set()
        self.comings: dict[InviteId, Allowance] = {}
        self.quiet_since_ms = now_ms()
        self.recording: Recording | None = None
        self.reading = Reading()
        self.event = EventState() if record.format is SessionFormat.EVENT else None
        self.door = EventDoor(record.lobby, record.locked, attended) if self.event is not None else None
        self.marks: list[messages.MarkObject] = []
        self.hands: list[ParticipantId] = []
        """The longest raised first."""
        self._witness = witness
        self._stood_down: set[ParticipantId] = set()
        self._answers: dict[ParticipantId, ConsentAnswer] = {}
        self._chat: deque[messages.ChatLine] = deque(maxlen=CHAT_KEPT)
        self._session_told: dict[bool, messages.SessionObject] = {}

    # At the door

    @property
    def invites_waiting(self) -> set[InviteId]:
        """Of all who wait to come in."""
        return set() if self.door is None else {knock.grant.invite for knock in self.door.knocks.values()}

    def knocks_on(self, invite: InviteId) -> list[Knock]:
        """Who waits to come in on this invite."""
        knocks = () if self.door is None else self.door.knocks.values()
        return [knock for knock in knocks if knock.grant.invite == invite]

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
            if self.event is not None:
                self.event.forget(participant.id)
        if not goes_on and participant.grant.seats > 1:
            # Nobody else has agreed for whoever sits there now.
            self._answers.pop(participant.id, None)
        if not goes_on and participant.grant.seats > 1:
            # Nor is somebody else muted for what was said there before, or shown what was asked.
            self.blocked.pop(participant.id, None)
            if self.event is not None:
                self.event.hushed.discard(participant.id)
                self.event.disown(participant.id)
        participant.blocked_sources = self.blocked.setdefault(participant.id, set())
        participant.asked = self.record.consent
        participant.answer = None if participant.device else self._answers.get(participant.id)
        self.people[participant.id] = participant
        self._take_place_on_stage(participant)
        joined: messages.Change = messages.ParticipantJoined(participant=participant.to_wire())
        if goes_on:
            joined = messages.ParticipantChanged(participant=participant.to_wire())
        self._tell(self._seen_by(participant), joined, but=participant)
        if self.on_stage(participant):
            self._tell_stage(but=participant)
        self._witness.changed(self)

    def _replace(self, participant: Participant, replaced: Participant, goes_on: bool) -> None:
        if goes_on:
            self.unpublish(replaced, self.published_by(replaced))
            # A page that was loaded again has no pictures open yet.
            self.reading.report(replaced.id, None)
        else:
            alone = participant.grant.seats == 1
            reason: messages.LeaveReason = "joinedElsewhere" if replaced.connected else "lost"
            self.exit(replaced, reason, keeps_floor=alone)
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
        self.reading.forget(participant.id)
        if self.event is not None and not (keeps_floor and was_on_stage):
            self.event.forget(participant.id)
        if reason != "lost":
            # Whoever opens the link next may be somebody else, who has agreed to nothing.
            self._answers.pop(participant.id, None)
        del self.people[participant.id]
        self._touched.pop(participant.id, None)
        self.speakers.forget(participant.id)
        self.quiet_since_ms = self._now_ms()
        if was_on_stage:
            self._tell_stage()
        self._witness.left(self, participant.id, reason)

    def line_lost(self, participant: Participant) -> None:
        """May still resume."""
        participant.away_since_ms = self._now_ms()
        self._tell_connected(participant)

    def line_back(self, participant: Participant) -> None:
        participant.away_since_ms = None
        self._tell_connected(participant)

    # The stage

    def give_floor(self, whom: Participant) -> None:
        """Raises Conflict if the stage is full."""
        if self.on_stage(whom):
            return
        self.require_place_on_stage()
        newly_told = self._blind_to(whom)
        self.floor.append(whom.id)
        self._stood_down.discard(whom.id)
        self._tell(newly_told, messages.ParticipantJoined(participant=whom.to_wire()))
        self._tell(newly_told, *(messages.TrackPublished(track=p.to_wire()) for p in self.published_by(whom)))
        self._tell_stage()
        self._tell_permissions(whom)
        self.lower_hand(whom)

    def require_place_on_stage(self) -> None:
        """Raises Conflict if the stage is full."""
        if len(self.stage) >= policy.STAGE_LIMIT[self.record.format]:
            raise Conflict("The stage is full: take the floor from somebody first.")

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
        if whom.id in self.hands:
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

    def publication(self, id: str) -> Publication:
        """Raises NotFound."""
        publication = self.publications.get(TrackId(id))
        if publication is None:
            raise NotFound("There is no such track.")
        return publication

    def published_by(self, participant: Participant) -> list[Publication]:
        return [pub for pub in self.publications.values() if pub.participant == participant.id]

    def stage_tracks(self) -> list[Publication]:
        """What everybody receives, in the order of the stage."""
        place = {id: index for index, id in enumerate(self.stage)}
        tracks = [pub for pub in self.publications.values() if pub.participant in place]
        return sorted(tracks, key=lambda pub: place[pub.participant])

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

    def seen(self, id: ParticipantId) -> bool:
        """Whether somebody is shown its pictures: it is on the stage, or comes next in an event."""
        return id in self.stage or (self.event is not None and self.event.cue == id)

    def tell_layers(self) -> None:
        """To those who publish, which layers to send, where that is different now."""
        seen = {*self.stage, None if self.event is None else self.event.cue}
        for publication in self.publications.values():
            wanted = policy.layers_wanted(
                self.record.format,
                publication.track.source,
                publication.track.layers,
                seen=publication.participant in seen,
            )
            owner = self.people.get(publication.participant)
            if wanted != publication.layers_told and owner is not None:
                publication.layers_told = wanted
                self._tell([owner], messages.LayersWanted(track=publication.track.track, layers=wanted))

    def _tell_track(self, publication: Publication, change: messages.Change) -> None:
        owner = self.people.get(publication.participant)
        if owner is not None:
            self._tell(self._seen_by(owner), change, but=owner if owner.gone else None)

    # Hands, chat, names

    def raise_hand(self, whose: Participant) -> None:
        if whose.id not in self.hands:
            self.hands.append(whose.id)
            self._tell_hands({p.id: p for p in [*self._seen_by(whose)]}.values())
            self._witness.changed(self)

    def lower_hand(self, whose: Participant) -> None:
        if whose.id in self.hands:
            self.hands.remove(whose.id)
            self._tell_hands(self._seen_by(whose))
            self._witness.changed(self)

    def hands_for(self, who: Participant) -> tuple[ParticipantId, ...]:
        """The longest raised first; only of those whom this one sees."""
        return tuple(
            id for id in self.hands if who.moderates or id == who.id or self._visible(self.people[id])
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
        self._witness.said(self, line)

    def rename(self, participant: Participant, name: str) -> None:
        participant.name = policy.clean_name(name)
        self._tell(self._seen_by(participant), messages.ParticipantChanged(participant=participant.to_wire()))
        self._witness.changed(self)

    # Consents and marks

    def answer_consent(self, participant: Participant, agreed: bool) -> None:
        """Raises Conflict where nobody is asked."""
        if not self.record.consent:
            raise Conflict("Nobody is asked for consent in this session.")
        answer = ConsentAnswer(agreed, participant.language, self._now_ms())
        self._answers[participant.id] = participant.answer = answer
        self._tell(self._seen_by(participant), messages.ParticipantChanged(participant=participant.to_wire()))
        self._witness.changed(self)

    def tell_marks(self) -> None:
        """To those who set them."""
        markers = [who for who in self.people.values() if who.moderates]
        self._tell(markers, messages.MarksChanged(marks=tuple(self.marks)))

    # Snapshots

    def tell_session(self) -> None:
        """To each what it may know of it, if that changed."""
        for moderates in (True, False):
            told = self.to_wire(trouble_too=moderates)
            if told != self._session_told.get(moderates):
                self._session_told[moderates] = told
                those = [who for who in self.people.values() if who.moderates is moderates]
                self._tell(those, messages.SessionChanged(session=told))

    def to_wire(self, *, trouble_too: bool) -> messages.SessionObject:
        """Trouble with the recording is told to those who may record, and nobody else is made to worry."""
        record, recording = self.record, self.recording
        return messages.SessionObject(
            id=record.id,
            title=record.title,
            kind=record.kind.value,
            format=record.format.value,
            state="ended" if self.ended else "open",
            capacity=record.capacity,
            started_at=self.started_at_ms,
            record=record.record.value,
            consent=record.consent,
            recording=None if recording is None else recording.to_wire(trouble_too=trouble_too),
            lobby=self.door is not None and self.door.lobby,
            locked=self.door is not None and self.door.locked,
        )

    def snapshot(
        self, who: Participant, resume_token: str, resume_within_s: int, wording: str
    ) -> messages.Joined:
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
            session=self.to_wire(trouble_too=who.moderates),
            participants=tuple(whom.to_wire() for whom in listed.values()),
            tracks=tuple(pub.to_wire() for pub in self.publications.values() if pub.participant in listed),
            stage=self.stage,
            hands=self.hands_for(who),
            chat=tuple(self._chat),
            permissions=policy.permissions(who.grant.role, self.on_stage(who)),
            consent_wording=wording if self.record.consent else None,
            marks=tuple(self.marks) if who.moderates else (),
        )


def require_moderator(actor: Participant) -> None:
    """Raises NotAuthorised (`notAllowed`)."""
    if not actor.moderates:
        raise NotAuthorised("Only moderators may do this.", "notAllowed")

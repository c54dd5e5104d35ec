"""Whose a peer connection and a track are: the way back from media's ids to sessions and participants."""

from __future__ import annotations

from bridge.livesession import LiveSession
from bridge.media.contract import PeerId, TrackId
from bridge.participant import Half, Participant, Publication
from bridge.players import Player


class Wiring:
    """Filled as connections and tracks come, cleared as they go; what is not found is gone."""

    def __init__(self) -> None:
        self._owners: dict[PeerId, tuple[LiveSession, Participant | Player]] = {}
        self._tracks: dict[TrackId, LiveSession] = {}

    def add_peer(self, peer: PeerId, session: LiveSession, owner: Participant | Player) -> None:
        self._owners[peer] = (session, owner)

    def drop_peer(self, peer: PeerId) -> bool:
        """False if it was not known (any more)."""
        return self._owners.pop(peer, None) is not None

    def add_track(self, track: TrackId, session: LiveSession) -> None:
        self._tracks[track] = session

    def drop_unpublished(self) -> None:
        """Forgets tracks that their sessions do not hold any more."""
        self._tracks = {track: of for track, of in self._tracks.items() if track in of.publications}

    def half(self, peer: PeerId) -> tuple[LiveSession, Participant, Half] | None:
        """The participant whose peer this is, and which half of it."""
        session, owner = self._owners.get(peer, (None, None))
        if session is None or not isinstance(owner, Participant):
            return None
        for half in (owner.publisher, owner.subscriber):
            if half is not None and half.peer == peer:
                return session, owner, half
        return None

    def player(self, peer: PeerId) -> tuple[LiveSession, Player] | None:
        """The player whose peer this is."""
        session, owner = self._owners.get(peer, (None, None))
        return None if session is None or not isinstance(owner, Player) else (session, owner)

    def publication(self, track: TrackId) -> tuple[LiveSession, Publication] | None:
        session = self._tracks.get(track)
        publication = None if session is None else session.publications.get(track)
        return None if session is None or publication is None else (session, publication)

"""What a WHEP player is shown: one picture and one sound of the stage, chosen anew as the stage changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.auth import Grant
from bridge.ids import ParticipantId
from bridge.media.contract import PeerId, Source, TrackId
from bridge.participant import Publication

_WITHOUT_WISH = (Source.ULTRASOUND, Source.CAMERA, Source.MICROSCOPE, Source.SCREEN)


@dataclass(slots=True, eq=False)
class Player:
    """A receiving peer that negotiates no more; `source` and `participant` are its wishes."""

    peer: PeerId
    grant: Grant
    source: Source | None
    participant: ParticipantId | None
    down_since_ms: int | None
    """Not yet up counts as down."""
    video: TrackId | None = None
    audio: TrackId | None = None


def choose(
    player: Player, stage_tracks: Sequence[Publication], speaker: ParticipantId | None
) -> tuple[TrackId | None, TrackId | None]:
    """The video and the audio track to show; `stage_tracks` are in the order of the stage."""
    tracks = [pub for pub in stage_tracks if player.participant in (None, pub.participant)]
    video = None
    for source in _WITHOUT_WISH if player.source is None else (player.source,):
        of_source = [pub for pub in tracks if pub.track.source is source]
        # The camera follows who speaks; another picture stays while it is there, so that it does not jump about.
        stays = None if source is Source.CAMERA and player.source is None else player.video
        if video is None:
            video = _best(of_source, stays, speaker)
    sounds = [pub for pub in tracks if pub.track.source is Source.MICROPHONE]
    sounds = sounds or [pub for pub in tracks if pub.track.source is Source.ULTRASOUND_SOUND]
    return video, _best(sounds, None, speaker, otherwise=player.audio)


def _best(
    tracks: Iterable[Publication],
    stays: TrackId | None,
    speaker: ParticipantId | None,
    otherwise: TrackId | None = None,
) -> TrackId | None:
    def rank(pub: Publication) -> tuple[bool, bool, bool, bool]:
        track = pub.track.track
        return (pub.silent, track != stays, pub.participant != speaker, track != otherwise)

    best = min(tracks, key=rank, default=None)
    return None if best is None else best.track.track
